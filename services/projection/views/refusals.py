"""Rows of REFUSALS: messages that never became facts, from anyone. Pure, and never refuses."""

import json
from typing import Any

from libs.eventstore import Stored
from services.projection.table import Values
from services.projection.views.text import plain

TEXT_MAX = 1_000
"""Most characters that are kept of one text."""

COUNT_MAX = 2**53 - 1
"""Largest count that is believed."""


def refusal(stored: Stored) -> Values:
    """One row per message; what cannot be read is shown as such.

    Args:
        stored: On `refusals.<reason>.<meter>`, JSON with `reason`, `detail`, `sha256`,
            `first_256_bytes`, `subject`, `count`.
    """
    said = _read(stored.data)
    _, reason, meter, *_ = (*stored.subject.split(".", 2), "", "")
    detail = "This message cannot be read." if said is None else said.get("detail")
    said = said or {}
    count = said.get("count")
    return (
        stored.stream,
        stored.sequence,
        _text(said.get("subject") or stored.subject),
        _text(said.get("reason") or reason),
        _text(meter),
        _text(detail),
        _text(said.get("sha256")),
        _text(said.get("first_256_bytes")),
        count if isinstance(count, int) and 0 <= count <= COUNT_MAX else 1,
    )


def _read(data: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _text(value: object) -> str:
    return plain("" if value is None else str(value)[:TEXT_MAX])
