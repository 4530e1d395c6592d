"""What the ledger's log tells of its snapshots."""

import asyncio
import json
from typing import Any, Final

from bench.trade_world import STREAM
from heliograph.stack import Stack
from services.ledger.settings import LedgerSettings

EVERY: Final[int] = LedgerSettings.model_fields["snapshots_every"].default
"""Facts that are folded between two snapshots."""

WRITTEN_S: Final = 60.0
"""Seconds in which a snapshot must be written."""


async def written(stack: Stack, facts: int) -> None:
    """Wait until the snapshot is written that follows the replay of so many facts.

    It shall not disturb what is measured then. Less than `EVERY` facts are followed by none.
    """
    if facts < EVERY:
        return
    async with asyncio.timeout(WRITTEN_S):
        while True:
            for each in events(stack):
                if each["event"] == "snapshot-written" and each["sequence"] >= facts:
                    return
            await asyncio.sleep(0.1)


def is_used(stack: Stack) -> bool:
    """Tell whether the last start went on from a snapshot."""
    told = [each["event"] for each in events(stack)]
    # The one that is made after the start is told of behind it.
    return [name for name in told if name != "snapshot-written"][-1:] == ["snapshot-used"]


def events(stack: Stack) -> list[dict[str, Any]]:
    """What the log says of snapshots of the book."""
    lines = stack.log("ledger").read_text(encoding="utf-8").splitlines()
    read = [json.loads(line) for line in lines if '"snapshot-' in line and STREAM in line]
    return [each for each in read if each.get("stream") == STREAM]
