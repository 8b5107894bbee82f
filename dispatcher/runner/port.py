"""What the engine may ask of those who run jobs; `pool.py` and `fake.py` keep it."""

from collections.abc import Sequence
from typing import Protocol

from dispatcher.core.model import Job


class Runner(Protocol):
    """What the engine asks of the pool of workers. Nothing here waits."""

    def start(self, job: Job) -> None:
        """Hand a saved job to its worker, forking it first if it is new."""
        ...

    def withdraw(self, number: int, worker: int) -> None:
        """Ask a job back that a worker may not have taken yet."""
        ...

    def stop(self, number: int, worker: int, grace: float) -> None:
        """Have a worker stop a job."""
        ...

    def fork(self, worker: int) -> None:
        """Fork a worker for later."""
        ...

    def end(self, worker: int) -> None:
        """Send an idle worker home."""
        ...

    def flush(self) -> None:
        """Send what the calls above have gathered: one piece for each worker."""
        ...

    def adopt(self, jobs: Sequence[Job]) -> None:
        """Settle jobs that a worker has or may have: ask the living workers, read the dead ones' journals."""
        ...
