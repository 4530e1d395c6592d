"""Values by interval, as observations: put in order, joined where they touch. Pure."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, NamedTuple

from pydantic import ValidationError

from libs.events.pricing import OBSERVED_MAX, Observation
from libs.events.quantities import format_instant
from libs.runtime.failures import Refused
from services.oracle.adapters.amounts import refused

QUOTES_MAX: Final = 20_000
"""Most values of a document: 200 days of quarters of an hour."""

YEARS: Final = range(1970, 9999)
"""Years in which values are read: what begins in them also ends."""


class Quote(NamedTuple):
    """A value of an interval."""

    start: datetime
    """Its start."""
    step_s: int
    """Its length in seconds."""
    value: int
    """Price in stroops per kWh, or rate in stroops."""


def observations(quotes: Iterable[Quote]) -> tuple[Observation, ...]:
    """Join the values of a document to as few observations as hold them.

    Raises:
        Refused: There is none, there are too many, two are about the same time, or one is of
            another year.
    """
    ordered = sorted(quotes)
    if not ordered:
        raise refused("document-empty", "document", "at least one value")
    if len(ordered) > QUOTES_MAX:
        raise refused("document-size", "document", f"at most {QUOTES_MAX} values")
    for quote in (ordered[0], ordered[-1]):
        if quote.start.year not in YEARS:
            raise refused("document-time", "start", f"years {YEARS.start} to {YEARS.stop - 1}")
    for one, other in pairwise(ordered):
        if (other.start - one.start).total_seconds() < one.step_s:
            start = format_instant(other.start)
            raise refused("document-overlap", "start", f"two values are about {start}")
    try:
        return tuple(_observation(run) for run in _runs(ordered))
    except ValidationError as error:
        raise _broken(error) from error


def within(
    found: Iterable[Observation], *, start: datetime, until: datetime
) -> tuple[Observation, ...]:
    """Keep the intervals that start at or after an instant and end at or before another."""
    kept = []
    for each in found:
        first_s, step_s = int(each.first_at.timestamp()), each.interval_s
        # Rounded up, and rounded down: only whole intervals count.
        low = max(0, -(-(int(start.timestamp()) - first_s) // step_s))
        high = max(low, (int(until.timestamp()) - first_s) // step_s)
        if values := each.values[low:high]:
            first_at = datetime.fromtimestamp(first_s + low * step_s, UTC)
            kept.append(Observation(first_at=first_at, interval_s=step_s, values=values))
    return tuple(kept)


def _runs(ordered: list[Quote]) -> Iterator[list[Quote]]:
    run: list[Quote] = []
    for quote in ordered:
        if run and not _follows(run[-1], quote, len(run)):
            yield run
            run = []
        run.append(quote)
    yield run


def _follows(one: Quote, other: Quote, count: int) -> bool:
    touches = (other.start - one.start).total_seconds() == one.step_s
    return touches and one.step_s == other.step_s and count < OBSERVED_MAX


def _observation(run: list[Quote]) -> Observation:
    values = tuple(quote.value for quote in run)
    return Observation(first_at=run[0].start, interval_s=run[0].step_s, values=values)


def _broken(error: ValidationError) -> Refused:
    fault = error.errors(include_url=False, include_input=False)[0]
    return refused("document-shape", ".".join(map(str, fault["loc"])), fault["msg"])
