"""Declaring streams: made once, left alone afterwards, only ever grown.

For the bootstrap job alone. No service may create or change a stream.
"""

import json
from enum import Enum
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from libs.eventstore.errors import (
    NotPermitted,
    StoreUnavailable,
    StreamDiffers,
    UnexpectedAnswer,
)
from libs.eventstore.spec import StreamSpec

NO_STREAM: Final = 10059
"""Error code for a stream that does not exist."""
GROWING: Final = frozenset({"max_bytes", "max_msgs", "max_msgs_per_subject", "max_msg_size"})
"""Limits that may grow; -1 is no limit."""
GROWING_FROM_ZERO: Final = frozenset({"max_age"})
"""Limits that may grow; 0 is no limit."""
FREE: Final = frozenset({"description", "max_consumers", "consumer_limits"})
"""Settings that may change at will: they touch no message. So a stream of an earlier version, in
which consumers had no limit, gets its limits with the next start."""
OPTIONAL: Final = frozenset({"subject_transform", "persist_mode", "consumer_limits"})
"""Settings that are compared even where none is wanted."""


class Declared(Enum):
    """What `declare` did."""

    CREATED = "created"
    SAME = "same"
    GROWN = "grown"


async def declare(
    client: Client, spec: StreamSpec, *, api_prefix: str = "$JS.API", timeout_s: float = 5.0
) -> Declared:
    """Make a stream, or see that it is as it should be; doing it again changes nothing.

    Args:
        client: A connection of the user who may manage streams of that account.
        spec: How the stream should be.
        api_prefix: Subject before the API's own.
        timeout_s: Seconds to wait for each answer.

    Returns:
        What was done.

    Raises:
        StreamDiffers: It exists and differs in more than what may change.
        NotPermitted: This connection may not manage streams.
        StoreUnavailable: No answer in time.
        UnexpectedAnswer: The server refuses the settings.
    """
    wanted = spec.as_config()
    found = await _request(client, f"{api_prefix}.STREAM.INFO.{spec.name}", None, timeout_s)
    if "error" in found:
        if found["error"].get("err_code") != NO_STREAM:
            raise UnexpectedAnswer(f"{spec.name}: {found['error']}")
        made = await _request(client, f"{api_prefix}.STREAM.CREATE.{spec.name}", wanted, timeout_s)
        _check(spec, made)
        return Declared.CREATED
    present: dict[str, Any] = found["config"]
    changed = differences(present, wanted)
    forbidden = forbidden_differences(present, wanted)
    if forbidden:
        raise StreamDiffers(spec.name, forbidden)
    if not changed:
        return Declared.SAME
    grown = present | {name: then for name, (_, then) in changed.items()}
    updated = await _request(client, f"{api_prefix}.STREAM.UPDATE.{spec.name}", grown, timeout_s)
    _check(spec, updated)
    return Declared.GROWN


def differences(
    present: dict[str, Any], wanted: dict[str, Any]
) -> dict[str, tuple[object, object]]:
    """Give every wanted setting that is not so, with its present and its wanted value.

    The server leaves out settings that are false or empty, and adds ones that are not ours.
    """
    empty: tuple[object, ...] = (None, False, "", 0, {})
    found: dict[str, tuple[object, object]] = {}
    for name in sorted(wanted.keys() | (OPTIONAL & present.keys())):
        now, then = present.get(name), wanted.get(name)
        if name == "subjects":
            now, then = sorted(now or ()), sorted(then or ())
        same = now == then or (now in empty and then in empty)
        if name == "persist_mode":
            same = same or {now, then} <= {None, "", "default"}
        if not same:
            found[name] = (now, then)
    return found


def forbidden_differences(
    present: dict[str, Any], wanted: dict[str, Any]
) -> dict[str, tuple[object, object]]:
    """Give the differences that would be more than a new description or a limit that grows."""
    changed = differences(present, wanted)
    return {name: pair for name, pair in changed.items() if not _may_change(name, *pair)}


def _may_change(name: str, now: object, then: object) -> bool:
    if name in FREE:
        return True
    if not isinstance(now, int | None) or not isinstance(then, int):
        return False
    if name in GROWING:
        return then == -1 or (now is not None and 0 <= now <= then)
    if name in GROWING_FROM_ZERO:
        return then == 0 or (now is not None and 0 < now <= then)
    return False


async def _request(
    client: Client, subject: str, body: dict[str, Any] | None, timeout_s: float
) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    try:
        answer = await client.request(subject, payload, timeout=timeout_s)
    except NoRespondersError as error:
        raise NotPermitted(subject, "nobody serves it for this connection") from error
    except NatsError as error:
        raise StoreUnavailable(f"{subject}: {str(error) or type(error).__name__}") from error
    parsed: dict[str, Any] = json.loads(answer.data)
    return parsed


def _check(spec: StreamSpec, answer: dict[str, Any]) -> None:
    if "error" in answer:
        raise UnexpectedAnswer(f"{spec.name}: {answer['error']}")
    left = differences(answer["config"], spec.as_config())
    if left:
        raise StreamDiffers(spec.name, left)
