"""Cursors: an opaque word that says behind which row the next page begins. Pure."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from libs.runtime.failures import Refused

LIMIT_MAX: Final = 1_000
"""Most items on one page."""

LIMIT: Final = 100
"""Items on one page unless asked otherwise."""

CURSOR_MAX: Final = 300
"""Most characters of a cursor."""

DIGEST_LENGTH: Final = 8
"""Characters at the beginning of a bound cursor that tell for which parameters it was given."""

_UNREADABLE: Final = (
    *(ValueError, UnicodeError, binascii.Error),
    *(TypeError, OverflowError, RecursionError),
)

_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[datetime, str, int]
"""Where a row stands in the order of its page: instant, stream, sequence."""


def write_cursor(key: Key) -> str:
    """Write the place of the last row of a page."""
    at, stream, sequence = key
    text = json.dumps([at.isoformat(), stream, sequence], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def read_cursor(text: str | None) -> Key | None:
    """Read a cursor; `None` for the first page.

    Raises:
        Refused: It is none of ours.
    """
    if text is None:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        at, stream, sequence = json.loads(base64.b64decode(padded, b"-_", validate=True))
        return _check(datetime.fromisoformat(at), stream, sequence)
    except _UNREADABLE as error:
        raise Refused(
            "bad-cursor",
            "This cursor is not one that we gave. Leave it out to begin with the first page.",
            field="cursor",
        ) from error


def _check(moment: datetime, stream: object, sequence: object) -> Key:
    """Give the key as the views can be asked for it.

    Raises:
        ValueError, OverflowError: Postgres could not hold it: a text that is no UTF-8, an instant
            that lies outside the years 1 to 9999 in UTC, a number of more than 64 bits.
    """
    if moment.tzinfo is None or not isinstance(stream, str) or "\x00" in stream:
        raise ValueError("not a key")
    stream.encode("utf-8")  # a lone surrogate can be written in JSON, but not in UTF-8
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence < 2**63:
        raise ValueError("not a sequence")
    return moment.astimezone(UTC), stream, sequence


def digest_of(path: str, parameters: Mapping[str, Any]) -> str:
    """Give a short digest of what a list is asked for, so that a cursor stays with its list.

    Args:
        path: Which list.
        parameters: What it is asked for, but for limit and cursor, as JSON values.

    Returns:
        `DIGEST_LENGTH` characters.
    """
    text = json.dumps([path, parameters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def bind_cursor(cursor: str | None, digest: str) -> str | None:
    """Let a cursor belong to a list's parameters; the end of a list stays the end."""
    return None if cursor is None else f"{digest}{cursor}"


def read_bound_cursor(text: str | None, digest: str) -> Key | None:
    """Read a cursor that belongs to a list's parameters; `None` for the first page.

    Raises:
        Refused: It is none of ours, or belongs to other parameters.
    """
    if text is None:
        return None
    key = read_cursor(text[DIGEST_LENGTH:])
    if text[:DIGEST_LENGTH] != digest:
        raise Refused(
            "bad-cursor",
            "This cursor belongs to other parameters. Ask as for the page that gave it, or leave "
            "it out to begin with the first page.",
            field="cursor",
        )
    return key


def write_id(name: str, value: int = 0) -> str:
    """Write the place behind an id, for lists that are ordered by id, or by a value and then by id.

    Args:
        name: The id.
        value: 0 or more.
    """
    return write_cursor((_NO_TIME, name, value))


def next_id(names: Sequence[str], limit: int) -> str | None:
    """Give the cursor of the next page of a list that is ordered by id.

    Args:
        names: The ids, one more than the page holds, when there are more.
        limit: Ids on the page.
    """
    return write_id(names[limit - 1]) if len(names) > limit else None


def cut(rows: Sequence[tuple[Key, object]], limit: int) -> str | None:
    """Give the cursor of the next page.

    Args:
        rows: One row more than the page holds, when there are more.
        limit: Rows on the page.
    """
    return write_cursor(rows[limit - 1][0]) if len(rows) > limit else None
