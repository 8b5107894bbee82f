"""Paired, alternating rounds: every contestant once a round, so that a noisy machine is noisy for all."""

import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.contestants import BUILD, Contestant, Running

RESULTS = Path(__file__).resolve().parent / "results"
Measure = Callable[[Running, Contestant], float]


class Spread(NamedTuple):
    """The smallest, the middle and the largest of some values."""

    min: float
    median: float
    max: float


class Row(NamedTuple):
    """One contestant in one table: its values, and their ratio to the reference of the same round."""

    name: str
    keeps: str
    values: list[float]
    compared_with: str
    ratios: list[float]


def spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), statistics.median(values), max(values))


def percentile(values: Sequence[float], part: float) -> float:
    """Give the value that `part` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def alternate(
    contestants: Sequence[Contestant], measure: Measure, *, rounds: int, width: int, reference: str
) -> list[Row]:
    """Measure everybody `rounds` times in turn; ratios are to `reference` in the same round."""
    found: dict[str, list[float]] = {one.name: [] for one in contestants}
    # Removed at the very end: making files is slow for a while after a mass delete.
    top = Path(tempfile.mkdtemp(prefix="run-", dir=BUILD))
    try:
        for number in range(rounds):
            for one in contestants:
                folder = top / f"{number}-{len(found[one.name])}-{contestants.index(one)}"
                folder.mkdir()
                with one.open(folder, width) as running:
                    found[one.name].append(measure(running, one))
            newest = ", ".join(f"{name} {values[-1]:.4g}" for name, values in found.items())
            print(f"  round {number + 1} of {rounds}: {newest}", flush=True)
    finally:
        shutil.rmtree(top, ignore_errors=True)  # an idle worker may still be on its way out
    base = found[reference]
    return [
        Row(
            one.name,
            one.keeps,
            values,
            reference,
            [value / other for value, other in zip(values, base, strict=True)],
        )
        for one in contestants
        for values in [found[one.name]]
    ]


def show(title: str, unit: str, rows: Sequence[Row], absent: Mapping[str, str]) -> None:
    """Print one table."""
    print(f"\n{title}")
    heads = ("", "keeps", f"{unit}: min", "median", "max", "ratio: min", "median", "max", "to")
    lines: list[tuple[str, ...]] = [heads]
    for row in rows:
        cells = [
            *(f"{value:.4g}" for value in spread(row.values)),
            *(f"{value:.2f}" for value in spread(row.ratios)),
        ]
        lines.append((row.name, row.keeps, *cells, row.compared_with))
    lines += [(name, f"not measured: {reason}", *[""] * 7) for name, reason in absent.items()]
    widths = [
        max(len(line[column]) for line in lines if line[2] or column == 0) for column in range(len(heads))
    ]
    for line in lines:
        cells = [
            cell.ljust(width) if column in {0, 1, 8} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def write(tables: Mapping[str, Sequence[Row]], absent: Mapping[str, str]) -> Path:
    """Write all values to bench/results/<date>.json."""
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    path = RESULTS / f"{at:%Y-%m-%dT%H%M%SZ}.json"
    machine = {"cpus": psutil.cpu_count(), "memory": psutil.virtual_memory().total, "disk": filesystem(BUILD)}
    document = {
        "at": at.isoformat(timespec="seconds"),
        "machine": machine,
        "not_measured": dict(absent),
        "tables": {
            title: [
                row._asdict() | {"value": spread(row.values)._asdict(), "ratio": spread(row.ratios)._asdict()}
                for row in rows
            ]
            for title, rows in tables.items()
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def filesystem(folder: Path) -> str:
    """Name the type of file system that a folder is on."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next(mounts[parent] for parent in (folder, *folder.parents) if parent in mounts)
