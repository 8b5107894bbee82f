"""A huey application for the benchmark; runs in a Python environment of its own, not in ours.

In huey_consumer it works; main() submits jobs and prints seconds, as `many COUNT` or `each COUNT PAUSE`.
BENCH_STORE, BENCH_ENDS and BENCH_TRUE come from the harness.
"""

import os
import subprocess
import sys
import time

from huey import RedisHuey, SqliteHuey
from huey.signals import SIGNAL_COMPLETE

STORE = os.environ["BENCH_STORE"]
TRUE = os.environ["BENCH_TRUE"]
huey = (
    RedisHuey("bench", url=STORE)
    if STORE.startswith("unix:")
    else SqliteHuey("bench", filename=STORE, fsync=True)
)
# One byte for each end: nobody has to ask again and again whether a job is done.
ends = os.open(os.environ["BENCH_ENDS"], os.O_RDWR)


def run() -> tuple[int, str]:
    """Run the command and keep its log and code, as the dispatcher does."""
    done = subprocess.run([TRUE], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


job = huey.task()(run)


def tell(*_: object) -> None:
    os.write(ends, b".")


huey.signal(SIGNAL_COMPLETE)(tell)


def wait_for(count: int) -> None:
    while count > 0:
        count -= len(os.read(ends, count))


def main() -> None:
    count = int(sys.argv[2])
    job()
    wait_for(1)  # the consumer is up, and both sides are connected
    if sys.argv[1] == "many":
        begun = time.perf_counter()
        for _ in range(count):
            job()
        wait_for(count)
        print(time.perf_counter() - begun)
        return
    for _ in range(count):
        time.sleep(float(sys.argv[3]))
        begun = time.perf_counter()
        job()
        wait_for(1)
        print(time.perf_counter() - begun)
