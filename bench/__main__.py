"""`python -m bench [P1] [P2] [passwords] [queries] [transfers]`: measure, write bench/results/<date>.json.

P1: throughput, 2,000 jobs of /bin/true, two and four at once.
P2: latency of one job, from its submit to its finished event, one after the other and with pauses.
passwords: how much 10,000 wrong passwords slow a client who is logged in (of the dispatcher only).
queries: core.get_jobs over 1,000 and over 1,000,000 jobs (of the dispatcher only).
transfers: 2 GiB into a job and out of one over HTTP, and the memory that takes (of the dispatcher only).
"""

import argparse
import signal
import statistics
import sys
from collections.abc import Callable, Sequence

from bench.contestants import BUILD, Contestant, Running, available
from bench.huey_peers import HueyRedis, HueySqlite
from bench.ours import Ours
from bench.passwords import passwords
from bench.programs import Loop, Nq, Parallel, TaskSpooler, Xargs
from bench.queries import queries
from bench.rounds import Row, alternate, filesystem, percentile, show, write
from bench.transfers import transfers

EVERYBODY: tuple[Contestant, ...] = (
    Loop(),
    Ours(),
    Xargs(),
    TaskSpooler(),
    Nq(),
    Parallel(),
    HueySqlite(),
    HueyRedis(),
)
Tables = dict[str, list[Row]]
Measurement = Callable[[Sequence[Contestant], dict[str, str], int, int], Tables]


def throughput(here: Sequence[Contestant], absent: dict[str, str], rounds: int, jobs: int) -> Tables:
    """Jobs a second; more is better."""
    tables: Tables = {}
    for width in (2, 4):
        title = f"P1 throughput, {jobs} x /bin/true, {width} at once"
        print(f"\n{title}", flush=True)
        rows = alternate(
            here,
            lambda running, who: (count := max(20, int(jobs * who.share))) / running.throughput(count),
            rounds=rounds,
            width=width,
            reference=Loop.name,
        )
        tables[title] = rows
        show(title, "jobs/s", rows, absent)
    return tables


def latency(here: Sequence[Contestant], absent: dict[str, str], rounds: int, jobs: int) -> Tables:
    """Milliseconds; less is better. The value of a round is its median; p99 is over all rounds."""
    tables: Tables = {}
    for pause, part in ((0.0, 0.1), (0.05, 0.03)):
        taken: dict[str, list[float]] = {one.name: [] for one in here}
        title = f"P2 latency of one job, {'50 ms pauses' if pause else 'one after the other'}"
        print(f"\n{title}", flush=True)

        def measure(running: Running, who: Contestant, pause: float = pause, part: float = part) -> float:
            count = max(10, int(jobs * who.share * part))
            values = [1000 * value for value in running.latencies(count, pause)]
            taken[who.name] += values  # noqa: B023 - measured before the loop goes on
            return statistics.median(values)

        rows = alternate(here, measure, rounds=rounds, width=2, reference=Loop.name)
        tables[title] = rows
        show(title, "ms", rows, absent)
        print("p99 over all rounds, ms: ", end="")
        print(", ".join(f"{name} {percentile(values, 0.99):.3g}" for name, values in taken.items()))
    return tables


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", metavar="P1 P2 passwords queries transfers", help="which (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default: 5)")
    parser.add_argument("--jobs", type=int, default=2000, help="jobs a measurement (default: 2000)")
    arguments = parser.parse_args()
    known: dict[str, Measurement] = {
        "P1": throughput,
        "P2": latency,
        "passwords": lambda _here, _absent, rounds, _jobs: passwords(rounds),
        "queries": lambda _here, _absent, rounds, _jobs: queries(rounds),
        "transfers": lambda _here, _absent, rounds, _jobs: transfers(rounds),
    }
    unknown = set(arguments.what) - set(known)
    if unknown:
        parser.error(f"cannot measure {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    BUILD.mkdir(exist_ok=True)
    if filesystem(BUILD) == "tmpfs":
        print("warning: this is on a tmpfs, where a sync costs nothing; measure on a disk", file=sys.stderr)
    here, absent = available(EVERYBODY)
    tables: Tables = {}
    for name in arguments.what or known:
        tables |= known[name](here, absent, arguments.rounds, arguments.jobs)
    print(f"\nwritten: {write(tables, absent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
