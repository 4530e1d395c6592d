"""Bills that have no room for every line and every reading are proved like others."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from libs.proof import lines as proved_lines
from libs.proof import steps_bill
from libs.proof.build import build_proof
from libs.proof.model import TrustFile
from libs.proof.verify import Verdict, verify_proof
from services.billing import lines, rating
from tests import devnet_process
from tests.proof.owning import to_own
from tests.proof.play import playing


def test_joined_lines_and_readings_named_by_their_ends_are_proved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: TrustFile
) -> None:
    for module in (lines, proved_lines):
        monkeypatch.setattr(module, "ENERGY_LINES_MAX", 1)
    for named in (rating, steps_bill):
        monkeypatch.setattr(named, "NAMED_MAX", 3)
    running = devnet_process.start(tmp_path, played=True)

    async def play_it() -> dict[str, Any]:
        async with playing(running.url) as play:
            await to_own(play)
            return await play.streams()

    try:
        season = asyncio.run(play_it())
    finally:
        running.stop()
    rows = [row for rows in season.values() for row in rows if "InvoiceIssued" in row.subject]
    billed = [json.loads(row.data)["data"] for row in rows]
    of_use = [[each for each in bill["lines"] if each["kind"] == "use"] for bill in billed]
    assert max(len(each) for each in of_use) <= 2  # one for each version
    assert {len(each["positions"]) for bill in billed for each in bill["readings"]} <= {1, 2}
    for bill in billed:
        proof = build_proof(season, bill["invoice"]).to_bytes()
        assert verify_proof(proof, trusted.to_bytes()).verdict is Verdict.PROVED
