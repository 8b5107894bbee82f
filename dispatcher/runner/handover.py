"""Staying behind with what an ended command left in the background, after the worker has moved on.

The worker forks; its child goes on as the worker, and the parent becomes this: a reaper
that reads the leftovers' pipes and throws away what comes. So the tree of a command is
simply every descendant of its worker, and no leftover is ever in it. Standard library only.
"""

import os
import selectors
import signal

_CHUNK = 64 * 1024


def stay_behind(child: int, pipes: list[int]) -> None:
    """Drain the pipes to their ends and reap, until both they and the child, the new worker, have ended.

    The caller has closed everything else. Its handler of SIGCHLD stays; the wake-up is made anew.
    """
    wakeup, signalled = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    for fd in (wakeup, *pipes):
        selector.register(fd, selectors.EVENT_READ)
    open_pipes = set(pipes)
    child_lives = _reap(child, lives=True)
    while open_pipes or child_lives:
        for key, _ in selector.select():
            # A plain write end of ours keeps the wake-up from ever being at its end.
            if not _drain(key.fd):
                selector.unregister(key.fd)
                os.close(key.fd)
                open_pipes.discard(key.fd)
        child_lives = _reap(child, lives=child_lives)


def _drain(fd: int) -> bool:
    """Read once; tell whether more may come."""
    try:
        return bool(os.read(fd, _CHUNK))
    except BlockingIOError:
        return True


def _reap(child: int, *, lives: bool) -> bool:
    """Reap all that has ended; tell whether the child still lives."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return lives
        lives = lives and pid != child
