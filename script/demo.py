"""Show the dispatcher at work: start it, run command lists in all three queues, tell what happens.

Without --once it goes on serving until Ctrl-C. Everything is done through the command line, as a
person would do it; nothing here reaches inside.
"""

import argparse
import fcntl
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import yaml

from script.demo_daemon import PATIENCE, ROOT, Daemon, Events, Wrong

# queue, key, commands, and what is right: the outcome, each command's code (None: never started)
# and a text that the log must hold. Stand-ins run on any machine; the queue is named with -q.
JOBS: tuple[tuple[str, str, list[list[str]], str, list[int | None], str], ...] = (
    ("no_queue", "machine", [["uname", "-a"], ["df", "-h", "/"]], "success", [0, 0], "/"),
    (
        "no_queue",
        "progress",
        [
            ["sh", "-c", "for n in 1 2 3 4 5; do echo step $n of 5; sleep 0.2; done"],
            ["echo", "all steps done"],
        ],
        "success",
        [0, 0],
        "step 5 of 5\nall steps done\n",
    ),
    (
        "no_queue",
        "failing",
        [["sh", "-c", "echo this one fails; exit 3"], ["echo", "never reached"]],
        "failed",
        [3, None],
        "this one fails\n",
    ),
    (
        "pkg_queue",
        "packages-1",
        [["sh", "-c", "echo updating the catalogue; sleep 0.5"], ["sh", "-c", "echo upgrading; sleep 0.5"]],
        "success",
        [0, 0],
        "updating the catalogue\nupgrading\n",
    ),
    (
        "pkg_queue",
        "packages-2",
        [["echo", "installing after that"]],
        "success",
        [0],
        "installing after that\n",
    ),
    (
        "iocage_queue",
        "jail",
        [["sh", "-c", "echo fetching a release; sleep 0.3"], ["echo", "creating a jail"]],
        "success",
        [0, 0],
        "fetching a release\ncreating a jail\n",
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="sh script/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--once", action="store_true", help="free ports, own state, stop after; 0 if all was right"
    )
    once = parser.parse_args().once
    var = ROOT / "var"
    var.mkdir(exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if once:
            _run_once(Path(tempfile.mkdtemp(prefix="once-", dir=var)))
        else:
            _run_and_serve(var)
    except Wrong as wrong:
        print(f"script/run: {wrong}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130 if once else 0
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _too_long(*_: object) -> NoReturn:
    raise Wrong("a worker did not end after the daemon")


def _run_once(folder: Path) -> None:
    settings = yaml.safe_load((ROOT / "queues.yaml").read_text())
    settings["listen"] = [{"address": "127.0.0.1", "port": 0, "tls": tls} for tls in (True, False)]
    config = folder / "queues.yaml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        daemon = Daemon(config, folder / "state")
        try:
            daemon.wait_until_ready()
            _show_jobs(daemon)
        finally:
            daemon.stop()
        _wait_for_workers(folder / "state" / "spool")
    except Wrong as wrong:
        raise Wrong(f"{wrong}; its state stays in {folder}") from None
    shutil.rmtree(folder)
    print("\nall was right: every outcome, code and log")


def _wait_for_workers(spool: Path) -> None:
    """Return when no worker lives: each holds the lock of its journal as long as it does."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(int(PATIENCE))
    for journal in spool.glob("*.journal"):
        with journal.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
    signal.alarm(0)


def _run_and_serve(var: Path) -> None:
    daemon = Daemon(ROOT / "queues.yaml", var)
    try:
        daemon.wait_until_ready()
        _show_jobs(daemon)
        call = f".venv/bin/dispatcher --socket {daemon.socket.relative_to(ROOT)}"
        print(f"\nThe daemon goes on serving until Ctrl-C. From another terminal in {ROOT}:")
        print(f"  {call} list --all")
        print(f"  {call} run --follow -- ls -l /")
        print(f"  {call} events", flush=True)
        daemon.wait()
    finally:
        daemon.stop()


def _show_jobs(daemon: Daemon) -> None:
    suffix = time.strftime("-%H%M%S")
    _title("A first command, waited for")
    first = daemon.json("run", "--wait", "--", "echo", "hello")
    print(f"  {daemon.call('log', str(first['number']))}", end="")

    _title("Command lists to all three queues, and their events as they come (dispatcher events)")
    numbers: dict[int, str] = {}
    events = Events(daemon, first["changed"])
    try:
        for queue, key, commands, *_ in JOBS:
            arguments = ("-q", queue, "--id", key + suffix, "--file", "-")
            print(f"  $ dispatcher run {' '.join(arguments)}", flush=True)
            job = daemon.json("run", *arguments, text=yaml.safe_dump(commands))
            numbers[job["number"]] = key
        events.wait_for(numbers)
    finally:
        events.end()

    _title("What they wrote, and how each ended (dispatcher log, dispatcher show)")
    finished = {key: daemon.json("show", str(number)) for number, key in numbers.items()}
    for (queue, key, _, outcome, codes, text), number in zip(JOBS, numbers, strict=True):
        job, log = finished[key], daemon.call("log", str(number))
        got = [command["code"] for command in job["commands"]]
        print(f"  job {number} ({queue}, {key}): {job['outcome']}, codes {got}")
        print("".join(f"    | {line}\n" for line in log.splitlines()), end="", flush=True)
        if (job["queue"], job["outcome"], got) != (queue, outcome, codes) or text not in log:
            raise Wrong(f"job {number} should be {outcome} in {queue} with codes {codes} and write {text!r}")
    if finished["packages-2"]["started"] < finished["packages-1"]["finished"]:
        raise Wrong("the second job of pkg_queue started before the first had ended")


def _title(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
