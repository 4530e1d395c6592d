"""The end of the demonstration: one invoice proves itself, from files alone."""

from pathlib import Path
from typing import Any

from heliograph.demo.screen import Screen
from heliograph.stack import Stack
from libs.eventstore import Stored


def prove_last(
    folder: Path,
    stack: Stack,
    streams: dict[str, list[Stored]],
    invoices: list[dict[str, Any]],
    screen: Screen,
) -> list[str]:
    """To come."""
    return []
