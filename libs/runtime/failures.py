"""What can go wrong, and what then happens: the one table of failure classes.

Whoever takes a message, answers a request or ends a process looks here and decides nothing alone.
Pure: this module imports only the standard library and knows no clock, network or broker.

Source:
    `docs/eventing.md`, section 9, "Failure classes". Problem documents are RFC 9457.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final

PROBLEM_CONTENT_TYPE: Final = "application/problem+json"
"""The media type of a problem document."""

PROBLEM_TYPE_PREFIX: Final = "urn:heliograph:problem:"
"""What stands before the code in a problem's `type`."""

_CODE: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class FailureClass(StrEnum):
    """The seven kinds of failure. The value is their name in logs and problem documents."""

    REFUSED = "refused"
    """A rule said no."""
    NOT_FOUND = "not-found"
    """An unknown id, and the decider has read far enough to say so."""
    NOT_YET = "not-yet"
    """An input is behind; the same question gets another answer later."""
    TRANSIENT = "transient"
    """An outside system is slow or away."""
    POISON = "poison"
    """Can never be understood."""
    FENCED = "fenced"
    """Another writer holds the stream."""
    BUG = "bug"
    """Ours: a broken law, or an error nobody expected."""


class Delivery(StrEnum):
    """What happens to the message that met the failure."""

    ACK = "ack"
    """It is done: acknowledge it."""
    RETRY = "retry"
    """Give it back, to come again after `Handling.delay_s`."""
    DEAD_LETTER = "dead-letter"
    """Store it in DEADLETTERS first, then terminate it. Stop the reader above a rate."""
    EXIT = "exit"
    """Do not acknowledge; the process ends and the message comes to the next one."""


class Alarm(Enum):
    """Whether somebody has to be told."""

    NEVER = 0
    AFTER_A_TIME = 1
    AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Handling:
    """One row of the table."""

    title: str
    """One sentence for people, the same for every failure of the class."""
    delivery: Delivery
    """What happens to the message."""
    status: int
    """The HTTP status, 400 to 599."""
    alarm: Alarm
    """Whether and when somebody is told."""
    delays_s: tuple[float, ...] = ()
    """Seconds before the first, second, ... further try; the last repeats. Empty: no other."""

    def delay_s(self, attempt: int) -> float:
        """Return how long to wait before trying again.

        Args:
            attempt: How many tries have failed so far, 1 or more.

        Returns:
            Seconds, without jitter; 0 for a class that is never tried again.
        """
        if not self.delays_s:
            return 0.0
        return self.delays_s[min(max(attempt, 1), len(self.delays_s)) - 1]


HANDLING: Final[Mapping[FailureClass, Handling]] = MappingProxyType(
    {
        FailureClass.REFUSED: Handling("A rule said no.", Delivery.ACK, 409, Alarm.NEVER),
        FailureClass.NOT_FOUND: Handling("There is no such thing.", Delivery.ACK, 404, Alarm.NEVER),
        FailureClass.NOT_YET: Handling(
            "An input has not been read that far yet.",
            Delivery.RETRY,
            503,
            Alarm.AFTER_A_TIME,
            (1.0,),
        ),
        FailureClass.TRANSIENT: Handling(
            "Another system is slow or away.",
            Delivery.RETRY,
            503,
            Alarm.AFTER_A_TIME,
            (1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
        ),
        FailureClass.POISON: Handling(
            "The message cannot be understood.", Delivery.DEAD_LETTER, 400, Alarm.AT_ONCE
        ),
        FailureClass.FENCED: Handling(
            "Another process has taken over.", Delivery.EXIT, 503, Alarm.AT_ONCE, (1.0,)
        ),
        FailureClass.BUG: Handling("We made a mistake.", Delivery.EXIT, 500, Alarm.AT_ONCE),
    }
)
"""The table. Everything else in Heliograph follows from it."""


class HeliographError(Exception):
    """An error with a failure class. Raise a subclass, never this one."""

    failure: ClassVar[FailureClass] = FailureClass.BUG
    """The row of the table."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Name what failed.

        Args:
            code: Stable, kebab-case, such as `sequence-reused`; machines compare it.
            message: One or two sentences for people: what failed, why, what to do. No secrets.
            field: The member of the request that is wrong, as a path such as `body.amount`.
            status: The HTTP status, 400 to 599, where it is not the one of the class.
            retry_after_s: Seconds, 0 or more, after which asking again makes sense, where they are
                not those of the class.
        """
        assert _CODE.fullmatch(code), f"not a kebab-case code: {code!r}"
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        self._status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def handling(self) -> Handling:
        """The row of the table for this error."""
        return HANDLING[self.failure]

    @property
    def status(self) -> int:
        """The HTTP status, 400 to 599: a refusal that names a field is 422."""
        if self._status is not None:
            return self._status
        if self.failure is FailureClass.REFUSED and self.field is not None:
            return 422
        return self.handling.status


class Refused(HeliographError):
    """A rule said no. 422 when it names the field that is wrong, else 409 for a state of things."""

    failure = FailureClass.REFUSED


class NotFound(HeliographError):
    """An unknown id, said only by who has read far enough to know."""

    failure = FailureClass.NOT_FOUND


class NotYet(HeliographError):
    """An input is behind; the same question gets another answer later."""

    failure = FailureClass.NOT_YET


class Transient(HeliographError):
    """An outside system is slow or away."""

    failure = FailureClass.TRANSIENT


class Poison(HeliographError):
    """Bytes that can never be understood."""

    failure = FailureClass.POISON


class FencedOff(HeliographError):
    """Another writer has appended to our stream: this process must end."""

    failure = FailureClass.FENCED


class BrokenLaw(HeliographError):
    """Something that cannot be false was false: this process must end."""

    failure = FailureClass.BUG


_SUBCLASSES: Final[Mapping[FailureClass, type[HeliographError]]] = MappingProxyType(
    {
        kind.failure: kind
        for kind in (Refused, NotFound, NotYet, Transient, Poison, FencedOff, BrokenLaw)
    }
)

_AWAY: Final = {
    "libs.eventstore.errors": "StoreFull StoreUnavailable UnknownStream",
    "nats.errors": "ConnectionClosedError ConnectionDrainingError ConnectionReconnectingError"
    " NoRespondersError NoServersError OutboundBufferLimitError StaleConnectionError",
    "nats.js.errors": "NoStreamResponseError ServiceUnavailableError",
    "asyncpg.exceptions": "AdminShutdownError CannotConnectNowError CrashShutdownError"
    " DeadlockDetectedError PostgresConnectionError QueryCanceledError SerializationError"
    " TooManyConnectionsError",
    "httpx": "TransportError",
    "aiomqtt.exceptions": "MqttError",
    "socket": "gaierror",
    "stellar_sdk.exceptions": "ConnectionError",
}

_FOREIGN: Final[Mapping[str, FailureClass]] = MappingProxyType(
    {
        "libs.events.errors.EventError": FailureClass.POISON,
        "libs.eventstore.errors.Fenced": FailureClass.FENCED,
    }
    | {
        f"{module}.{name}": FailureClass.TRANSIENT
        for module, names in _AWAY.items()
        for name in names.split()
    }
)
"""Errors of others by full name, so that nothing is imported; a subclass counts as its parent.
A missing stream is transient: the job that makes the streams may still be at work."""

_GRAVEST_FIRST: Final = (
    FailureClass.BUG,
    FailureClass.FENCED,
    FailureClass.POISON,
    FailureClass.TRANSIENT,
    FailureClass.NOT_YET,
    FailureClass.NOT_FOUND,
    FailureClass.REFUSED,
)


def classify(error: BaseException) -> FailureClass:
    """Return the failure class of any exception.

    Args:
        error: Ours or foreign. A group counts as its gravest member.

    Returns:
        Its class. What nobody expected is a bug.
    """
    if isinstance(error, HeliographError):
        return error.failure
    if isinstance(error, BaseExceptionGroup):
        found = {classify(member) for member in error.exceptions}
        return next(kind for kind in _GRAVEST_FIRST if kind in found)
    if isinstance(error, (TimeoutError, ConnectionError)):
        return FailureClass.TRANSIENT
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((_FOREIGN[name] for name in names if name in _FOREIGN), FailureClass.BUG)


def gravest(error: BaseException) -> BaseException:
    """Return the member of an exception group that decides its class, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        kind = classify(error)
        error = next(member for member in error.exceptions if classify(member) is kind)
    return error


def as_heliograph_error(error: BaseException) -> HeliographError:
    """Return the error as one of ours.

    Args:
        error: Ours (returned as it is) or foreign.

    Returns:
        An error of the same class with a code of its own. The text of the foreign error is
        repeated only where it tells what is wrong with a message; elsewhere it may hold what
        strangers must not read.
    """
    error = gravest(error)
    if isinstance(error, HeliographError):
        return error
    match classify(error):
        case FailureClass.TRANSIENT:
            return Transient("unavailable", "A system that this needs does not answer. Try again.")
        case FailureClass.POISON:
            return Poison("not-understood", str(error))
        case FailureClass.FENCED:
            return FencedOff("fenced", "Another process has taken over. Try again.")
        case _:
            return BrokenLaw("internal-error", "The request met a mistake of ours.")


def problem_document(error: BaseException) -> dict[str, Any]:
    """Describe an error as a problem document that a stranger may read.

    Args:
        error: Ours or foreign. Of a bug only the code is told, never the message.

    Returns:
        JSON values: `type`, `title`, `status`, `detail`, `code`, `failure`, and where they apply
        `field` and `retry_after_s` (whole seconds, rounded up).
    """
    ours = as_heliograph_error(error)
    is_bug = ours.failure is FailureClass.BUG
    document: dict[str, Any] = {
        "type": PROBLEM_TYPE_PREFIX + ours.code,
        "title": ours.handling.title,
        "status": ours.status,
        "detail": "A mistake of ours, which has been logged." if is_bug else ours.message,
        "code": ours.code,
        "failure": ours.failure.value,
    }
    if ours.field is not None:
        document["field"] = ours.field
    if (seconds := retry_after_s(ours)) is not None:
        document["retry_after_s"] = seconds
    return document


def retry_after_s(error: HeliographError) -> int | None:
    """Return the value of the `Retry-After` header.

    Returns:
        Whole seconds, 1 or more; None where asking again cannot help.
    """
    if not error.handling.delays_s:
        return None
    seconds = error.handling.delay_s(1) if error.retry_after_s is None else error.retry_after_s
    return max(1, -int(-seconds // 1))


def is_problem(document: object) -> bool:
    """Tell whether decoded JSON is one of our problem documents."""
    return (
        isinstance(document, Mapping)
        and str(document.get("type", "")).startswith(PROBLEM_TYPE_PREFIX)
        and "status" in document
    )


def from_problem(document: Mapping[str, Any]) -> HeliographError:
    """Rebuild the error that another process answered with.

    Args:
        document: A problem document, trusted no further than its shape.

    Returns:
        An error of the same class, code, message, field and status. The exceptions are `fenced`
        and `bug`: those ended the other process, not this one, so here they are `Transient`, with
        code and status kept; asking the successor again with the same command id is right.
    """
    status = document.get("status")
    status = status if isinstance(status, int) and status in range(400, 600) else None
    failure = _failure_of(document.get("failure"), status)
    if failure in {FailureClass.FENCED, FailureClass.BUG}:
        failure = FailureClass.TRANSIENT
        status = 500 if status is None else status
    code, field = document.get("code"), document.get("field")
    after = document.get("retry_after_s")
    return _SUBCLASSES[failure](
        code if isinstance(code, str) and _CODE.fullmatch(code) else "unnamed-problem",
        str(document.get("detail") or document.get("title") or "No reason was given."),
        field=field if isinstance(field, str) else None,
        status=status,
        retry_after_s=after if isinstance(after, int) and after >= 0 else None,
    )


def _failure_of(name: object, status: int | None) -> FailureClass:
    for kind in FailureClass:
        if kind.value == name:
            return kind
    by_status = {400: FailureClass.POISON, 404: FailureClass.NOT_FOUND, 409: FailureClass.REFUSED}
    by_status |= {422: FailureClass.REFUSED, 503: FailureClass.TRANSIENT}
    return by_status.get(status or 0, FailureClass.BUG)
