"""Timing, percentiles and the table."""

import json
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Row:
    """One line of the table."""

    path: str
    """What was measured."""
    value: float
    """The figure."""
    unit: str
    """Its unit, such as `reports/s`."""
    ratio: float | None = None
    """The figure over what it is compared with."""
    of: str = ""
    """What it is compared with."""
    bar: float | None = None
    """The ratio that is asked for."""
    at_most: bool = False
    """Whether the ratio shall be at most the bar; else at least."""


@dataclass(slots=True)
class Results:
    """All rows of a run, and the machine they are of."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> float:
        """Keep a row; its value is returned."""
        self.rows.append(row)
        return row.value

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        content = {"machine": self.machine, "rows": [asdict(row) for row in self.rows]}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures are of."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):  # only Linux has this file; elsewhere the plain name must do
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
        model = names[0] if names else model
    load = os.getloadavg() if hasattr(os, "getloadavg") else (0.0,)
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(load[0], 2),
    }


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._began


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
