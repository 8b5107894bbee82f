"""What spawner and workers must not inherit, nor hand down to commands.

Ignored signals survive exec and make TERM useless, so nothing here ever ignores one: a handler that
does nothing is reset by exec. The mark of a job in the environment would make the dispatcher
part of the job that restarted it.
"""

import os
import signal
import sys

MARK = "DISPATCHER_JOB"
PROGRESS_FD = 3  # kept free in a worker, for the commands that tell their progress

# PIPE and XFSZ: a write that fails must give an error. The others are for the commands, which get
# them as well: at shutdown init sends TERM to all, and then a worker still has to note how they ended.
_HANDLED = ("SIGCHLD", "SIGPIPE", "SIGXFSZ", "SIGTERM", "SIGINT", "SIGHUP")


def shed_mark() -> None:
    """Execute this program again without the mark, if the environment has it; else return.

    `/proc/PID/environ` shows the environment of the last exec, so taking it out of os.environ is not
    enough. Call this before anything is opened; descriptors 0, 1 and 2 stay.
    """
    if MARK in os.environ:
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 (no shell wanted)


def reset_signals() -> None:
    """Set every signal to its default and block none: nohup and daemon(8) may hand down ignored ones."""
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            continue  # KILL and STOP are always at their default, some belong to the C library
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def handle_signals() -> None:
    """Wake the loop at these signals and do nothing else; needs `set_wakeup_fd` besides."""
    for name in _HANDLED:
        signal.signal(signal.Signals[name], _do_nothing)


def close_standard() -> None:
    """Put /dev/null on 0, 1 and 2: a pipe held open there keeps daemon(8) waiting for its end."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        if fd != null:
            os.dup2(null, fd)
    if null > 2:
        os.close(null)


def keep_progress_fd() -> None:
    """Put /dev/null on the descriptor that commands write their progress to, so that nothing else gets it.

    Call it after `close_standard`, before anything is opened.
    """
    os.dup2(0, PROGRESS_FD, inheritable=False)


def leave_session() -> None:
    """Get away from the terminal and its Ctrl-C, unless a session of our own is already there."""
    if os.getsid(0) != os.getpid():
        try:
            os.setsid()
        except PermissionError:
            return  # leader of a process group: the shell that started us gave us one of our own


def _do_nothing(_number: int, _frame: object) -> None:
    pass
