"""docs/own.md is true: its blocks run on an embedded stack with a played clock."""

import asyncio
import json
from pathlib import Path
from typing import Any

from heliograph.stack import Stack, StackOptions
from tests.docs.test_trade import ROOT, blocks, run_blocks

PAGE = ROOT / "docs" / "own.md"
STARTS = "2026-01-01T00:00:00Z"
SERVICES = ("ingest", "oracle", "ledger", "billing", "anchor", "projection", "gateway")


def answers_of(printed: str) -> list[Any]:
    """Every answer in order; curl's retries may stand before one on the same line."""
    said, decoder = [], json.JSONDecoder()
    for line in printed.splitlines():
        while line.startswith("{"):
            document, end = decoder.raw_decode(line)
            said.append(document)
            line = line[end:]  # noqa: PLW2901 - the rest of it
    return said


async def test_the_page_leads_from_an_idea_to_the_last_share(tmp_path: Path) -> None:
    options = StackOptions(
        data=tmp_path / ".own",
        services=SERVICES,
        gateway_port=0,
        played_time=True,
        extra_env={"oracle": {"HELIOGRAPH_ORACLE_PLAYED_FROM": STARTS}},
    )
    async with Stack(options) as stack:
        printed = await asyncio.to_thread(run_blocks, blocks(PAGE), tmp_path, stack.urls.gateway)
    said = answers_of(printed)
    supplies = [each["state"] for each in said if {"holding", "state"} <= each.keys()]
    assert supplies == ["diverted", "supplied"]
    agreements = [each for each in said if "payoff_stroops" in each]
    assert [each["status"] for each in agreements] == ["HELD", "HELD", "OWNED"]
    assert agreements[-1]["own_shares"] == 800_000_000
    assert agreements[-1]["payoff_stroops"] == 0
    systems = [each for each in said if {"system", "stage"} <= each.keys()]
    assert [each["stage"] for each in systems] == [7, 8]
    (notices,) = [each["items"] for each in said if "items" in each]
    kinds = [each["kind"] for each in notices]
    assert kinds == ["diversion", "alert", "reminder"]
    assert (tmp_path / "bill.pdf").read_bytes().startswith(b"%PDF")
