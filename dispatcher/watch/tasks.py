"""Start what is watched, as the settings say."""

import socket
from collections.abc import Awaitable
from typing import Protocol

import trio

from dispatcher.settings import Settings
from dispatcher.watch.life_preserver import PreserverWatch
from dispatcher.watch.preserver_lines import PreserverEvent
from dispatcher.watch.programs import Programs
from dispatcher.watch.system_state import StateWatch, SystemState


class Listener(Protocol):
    """Who is told."""

    def tell_state(self, state: SystemState, /) -> Awaitable[None]:
        """Take the state of the system."""
        ...

    def tell_preserver(self, event: PreserverEvent, is_old: bool, /) -> Awaitable[None]:  # noqa: FBT001
        """Take an event of life-preserver; an old one is of before the start."""
        ...

    def recall_preserver(self, event: PreserverEvent, /) -> None:
        """Take the last event that an earlier daemon told."""
        ...


def start_watches(nursery: trio.Nursery, settings: Settings, listener: Listener) -> None:
    """Start a task for each thing that is watched."""
    state, preserver = settings.watch.system_state, settings.watch.life_preserver
    if state.enabled:
        programs = Programs(dict(settings.environment))
        watch = StateWatch(state, settings.state_dir, programs, listener.tell_state, socket.gethostname)
        nursery.start_soon(watch.run)
    if preserver.enabled:
        follow = PreserverWatch(
            preserver.log, settings.state_dir, listener.tell_preserver, listener.recall_preserver
        )
        nursery.start_soon(follow.run)
