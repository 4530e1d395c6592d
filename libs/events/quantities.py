"""Quantities: integers with a unit in their name, and instants with one spelling.

Every stored integer is at most 2^53 - 1, so that any JSON reader on earth reads it exactly
(docs/decisions/0001). Nothing in this module rounds: `libs.rules.numbers` holds the only two
functions that do.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

INTEGER_MAX = 2**53 - 1
"""The largest integer that a fact may hold."""

STROOPS_PER_UNIT = 10_000_000
"""Stroops in one unit of money, as on Stellar."""

WH_PER_KWH = 1_000
"""Watt-hours in a kilowatt-hour."""

INSTANTS_REMEMBERED = 65_536
"""Instants whose text is remembered."""

INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
"""The one spelling of an instant: UTC, whole seconds, `Z`."""

Count = Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)]
"""A number of things, from 0."""

Ordinal = Annotated[int, Field(strict=True, ge=1, le=INTEGER_MAX)]
"""A number in a row that starts at 1."""

EnergyWh = Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)]
"""Energy in watt-hours (Wh)."""

PositiveWh = Annotated[int, Field(strict=True, ge=1, le=INTEGER_MAX)]
"""Energy in watt-hours (Wh), above zero."""

EnergyChangeWh = Annotated[int, Field(strict=True, ge=-INTEGER_MAX, le=INTEGER_MAX)]
"""A change of energy in watt-hours (Wh), of either sign."""

PowerW = Annotated[int, Field(strict=True, ge=1, le=10**12)]
"""Power in watts (W), above zero, at most 1 TW."""

AmountStroops = Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)]
"""Money in stroops (10^-7 of a unit of its asset)."""

PositiveStroops = Annotated[int, Field(strict=True, ge=1, le=INTEGER_MAX)]
"""Money in stroops, above zero."""

PriceStroopsPerKwh = Annotated[int, Field(strict=True, ge=0, le=10**12)]
"""A price in stroops for one kilowatt-hour, at most 100,000 units of its asset."""

RatePpmYear = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
"""A yearly rate in parts per million: 50,000 is 5 % a year."""

Shares = Annotated[int, Field(strict=True, ge=1, le=INTEGER_MAX)]
"""Units of title or of a holding, above zero. One share costs one stroop."""

PriceChangeStroopsPerKwh = Annotated[int, Field(strict=True, ge=-(10**12), le=10**12)]
"""A price in stroops for one kilowatt-hour that may be below zero, as on a market."""

Ppm = Annotated[int, Field(strict=True, ge=0, le=10**9)]
"""Parts per million: 1,000,000 is the whole, at most a thousand times it."""

DurationS = Annotated[int, Field(strict=True, ge=0, le=366 * 86_400)]
"""A length of time in seconds, at most 366 days."""


def parse_instant(value: object) -> datetime:
    """Read an instant in its one spelling.

    Args:
        value: Text such as `2016-07-01T07:00:00Z`, or an aware `datetime` of whole seconds.

    Returns:
        The same instant as an aware `datetime` in UTC.

    Raises:
        ValueError: The text has another spelling, or the time has no zone or a part of a second.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        if value.microsecond:
            raise ValueError("an instant is a whole second")
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("an instant lies in the years 1 to 9999, in UTC") from error
    if isinstance(value, str):
        return _read_text(value)
    raise ValueError("an instant is written YYYY-MM-DDTHH:MM:SSZ, in UTC")


@lru_cache(maxsize=INSTANTS_REMEMBERED)
def _read_text(value: str) -> datetime:
    """Read the text of an instant; the same few stand in many facts, so they are remembered."""
    if len(value) != len("2016-07-01T07:00:00Z"):
        raise ValueError("an instant is written YYYY-MM-DDTHH:MM:SSZ, in UTC")
    if value[10] != "T" or value[19] != "Z" or not value[:4].isascii():
        raise ValueError("an instant is written YYYY-MM-DDTHH:MM:SSZ, in UTC")
    try:
        instant = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError("an instant is written YYYY-MM-DDTHH:MM:SSZ, in UTC") from error
    if format_instant(instant) != value:
        raise ValueError("an instant is written YYYY-MM-DDTHH:MM:SSZ, in UTC")
    return instant


@lru_cache(maxsize=INSTANTS_REMEMBERED)
def format_instant(instant: datetime) -> str:
    """Write an aware instant of whole seconds in its one spelling, UTC with `Z`."""
    moved = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return f"{moved.isoformat()[:19]}Z"


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": INSTANT_PATTERN}),
]
"""An instant in UTC, whole seconds, written `YYYY-MM-DDTHH:MM:SSZ`."""


def as_date(text: str) -> date:
    """Read a `LocalDate`.

    Raises:
        ValueError: There is no such day.
    """
    return date.fromisoformat(text)


def _checked_date(text: str) -> str:
    as_date(text)
    return text


LocalDate = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    AfterValidator(_checked_date),
]
"""A date in the site's local time, `YYYY-MM-DD`: a day that exists."""
