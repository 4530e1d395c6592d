"""The benchmarks run: every path gives a figure. How large it is, no test asks."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 120
"""Only against a run that hangs; a short one takes some seconds."""

PATHS = (
    "bare Ed25519 verification",
    "bare atomic-batch appends",
    "signed report -> durable, receipt",
    "report -> receipt at half load, p50",
    "report -> receipt at half load, p99",
    "bare stream reading",
    "bare COPY",
    "fact -> visible row",
    "fact -> visible at half load, p50",
    "fact -> visible at half load, p99",
    "PostgreSQL trade, one call",
    "PostgreSQL trade, plain statements",
    "PostgreSQL trade, one call, lean tables",
    "eventsourcing library on PostgreSQL",
    "bare verification of commands",
    "bare appends of trades",
    "signed execute -> durable, answered",
    "signed execute -> durable, answered (beside one call)",
    "... beside its raw parts",
    "execute -> answer at half load, p50",
    "execute -> answer at half load, p99",
    "signed batches of 500 -> durable, answered",
    "signed batches of 500 -> durable, answered (beside one call)",
    "CPU per execute, 10 members",
    "... 100 members, 2,000 facts",
    "start by replay, 2,000 facts",
    "polars, bare multiply-and-sum",
    "rating 10,000 intervals by time of use",
    "... as bills, one by one",
    "... from a snapshot, 2,000 facts",
)

COMPARED = {
    "signed report -> durable, receipt",
    "fact -> visible row",
    "signed execute -> durable, answered",
    "... beside its raw parts",
    "execute -> answer at half load, p99",
    "signed batches of 500 -> durable, answered",
    "... 100 members, 2,000 facts",
    "rating 10,000 intervals by time of use",
    "... from a snapshot, 2,000 facts",
}
"""Paths that stand beside what they are compared with, with a bar."""

MACHINE = {"cores", "processor", "system", "python", "load_before"}


def test_a_short_run_gives_every_figure(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--short", "--json", str(written)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

    figures: dict[str, Any] = json.loads(written.read_text("utf-8"))
    assert set(figures["machine"]) >= MACHINE
    assert figures["machine"]["cores"] >= 1
    assert all(figures["machine"][name] for name in ("processor", "system", "python"))

    rows = {row["path"]: row for row in figures["rows"]}
    assert set(rows) >= set(PATHS)
    assert len(rows) == len(figures["rows"]), "two rows have one name"
    for path, row in rows.items():
        assert row["value"] > 0, path
        assert math.isfinite(row["value"]), path
        assert row["unit"], path
    for path in COMPARED:
        assert rows[path]["ratio"] > 0
        assert rows[path]["bar"] > 0
        assert rows[path]["of"]
    for path in PATHS:
        assert path[:30] in run.stdout, "the table shows what the file holds"
