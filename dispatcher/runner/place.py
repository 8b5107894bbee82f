"""Where the runner works: what stays the same while one supervisor runs."""

from pathlib import Path

from dispatcher.core.model import Value


class Place(Value, frozen=True):
    """The state directory, the installation's id (of the store) and this boot of the machine."""

    state_dir: Path
    installation: str
    boot_id: str

    @property
    def socket(self) -> Path:
        """Where workers connect."""
        return self.state_dir / "workers.sock"

    @property
    def spool(self) -> Path:
        """Where the journals are."""
        return self.state_dir / "spool"

    def journal(self, worker: int) -> Path:
        """Give the journal of a worker."""
        return self.spool / f"{worker}.journal"

    def mark(self, job: int, command: int) -> str:
        """Give the value of DISPATCHER_JOB in the environment of a command."""
        return f"{self.installation}:{job}:{command}"
