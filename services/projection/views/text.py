"""Text made storable: what strangers wrote, and parts of facts as JSON. Pure."""

import json
from collections.abc import Iterable

from libs.events.fact import Strict

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Stands for what Postgres cannot hold."""


def plain(text: str) -> str:
    """Replace what a `text` column cannot hold: NUL, and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


def json_of(part: Strict) -> str:
    """Write a part of a fact as the JSON that Postgres reads, as it stands in the fact."""
    return part.model_dump_json(exclude_none=True)


def json_list(parts: Iterable[Strict]) -> str:
    """Write parts of a fact as a JSON list."""
    return json.dumps([part.model_dump(mode="json", exclude_none=True) for part in parts])
