"""Where the log of a job lies, and reading pieces of it. The functions here block: use a thread."""

from pathlib import Path

JOBS_PER_DIRECTORY = 1000


def log_path(log_dir: Path, number: int) -> Path:
    """Give the log file of a job. It exists once the job has written its first byte."""
    return log_dir / str(number // JOBS_PER_DIRECTORY) / f"{number}.log"


def read_piece(path: Path, start: int, end: int) -> bytes:
    """Read bytes `start` to `end` of a log; fewer, or none, if the file is shorter or absent."""
    if end <= start:
        return b""
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            pieces = []
            while start < end and (piece := file.read(end - start)):
                pieces.append(piece)
                start += len(piece)
            return b"".join(pieces)
    except FileNotFoundError:
        return b""


def size_of(path: Path) -> int:
    """Give the length of a log in bytes; 0 if nothing was written."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
