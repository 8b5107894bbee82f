"""Run lists of external commands from named queues, durably; see docs/architecture.md."""

__version__ = "0.1.0"
