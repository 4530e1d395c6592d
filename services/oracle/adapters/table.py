"""Prices and rates in plain CSV: a header that names the unit, then a line for each interval.

start,price_eur_per_mwh            start,rate_usd_per_eur
2026-03-28T23:00:00Z,45.37         2026-03-27,1.0812
"""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final

from libs.events.pricing import Observation
from services.oracle.adapters.amounts import decimal_of, refused, stroops
from services.oracle.adapters.quotes import QUOTES_MAX, Quote, observations

ENERGY: Final = {"kwh": 1, "mwh": 1_000}
"""Units of energy in kWh."""

DAY_S: Final = 86_400
_PRICE: Final = re.compile(r"price_([a-z0-9]{1,12})_per_([a-z]{1,12})")
_RATE: Final = re.compile(r"rate_([a-z0-9]{1,12})_per_([a-z0-9]{1,12})")
_COLUMNS: Final = 2


def read_prices(
    data: bytes, *, currency: str, interval_s: int | None = None
) -> tuple[Observation, ...]:
    """Read prices, in stroops per kWh; lines are in order and leave no interval out.

    Args:
        data: The table, in UTF-8.
        currency: Code of the currency that it must be in.
        interval_s: Length of an interval in seconds; without it that between the first two lines.

    Raises:
        Refused: A line breaks a rule; `field` names it.
    """
    header, rows = _table(data)
    match = _PRICE.fullmatch(header)
    if match is None or match[2] not in ENERGY:
        known = " or ".join(f"price_{currency.lower()}_per_{unit}" for unit in ENERGY)
        raise refused("document-unit", "header", f"start,{known}; not {header}")
    if match[1] != currency.lower():
        raise refused("document-unit", "header", f"{currency}, not {match[1].upper()}")
    per = ENERGY[match[2]]
    times = [_instant(start, f"row.{number}.start") for number, start, _ in rows]
    step_s = interval_s or _step(times)
    for (number, _, _), (one, other) in zip(rows[1:], pairwise(times), strict=True):
        if (other - one).total_seconds() != step_s:
            rule = f"{step_s} s after the line before: no interval is left out, and none is twice"
            raise refused("document-gap", f"row.{number}.start", rule)
    return observations(
        Quote(at, step_s, stroops(number, per=per))
        for at, number in zip(times, _numbers(rows, match[0]), strict=True)
    )


def read_rates(data: bytes, *, base: str, asset: str) -> tuple[Observation, ...]:
    """Read rates by day: what one unit of `base` is worth, in stroops of `asset`.

    Raises:
        Refused: A line breaks a rule; `field` names it.
    """
    header, rows = _table(data)
    match = _RATE.fullmatch(header)
    if match is None or (match[1], match[2]) != (asset.lower(), base.lower()):
        known = f"rate_{asset.lower()}_per_{base.lower()}"
        raise refused("document-unit", "header", f"start,{known}; not {header}")
    quotes = []
    for (number, start, _), rate in zip(rows, _numbers(rows, match[0]), strict=True):
        if (value := stroops(rate)) <= 0:
            raise refused("rate-not-positive", f"row.{number}.{match[0]}", "above zero")
        quotes.append(Quote(_day(start, f"row.{number}.start"), DAY_S, value))
    return observations(quotes)


def _table(data: bytes) -> tuple[str, list[tuple[int, str, str]]]:
    """Name of the second column, and the lines with their numbers."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise refused("document-shape", "document", "CSV in UTF-8") from error
    if not lines or len(lines[0]) != _COLUMNS or lines[0][0].strip() != "start":
        raise refused("document-shape", "header", "start, a comma, and the name of the value")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        if len(line) != _COLUMNS:
            raise refused("document-shape", f"row.{number}", "two columns")
        rows.append((number, line[0].strip(), line[1]))
    if not 1 <= len(rows) <= QUOTES_MAX:
        raise refused("document-size", "document", f"1 to {QUOTES_MAX} lines below the header")
    return lines[0][1].strip().lower(), rows


def _numbers(rows: list[tuple[int, str, str]], name: str) -> Iterator[Decimal]:
    return (decimal_of(text, f"row.{number}.{name}") for number, _, text in rows)


def _step(times: list[datetime]) -> int:
    step_s = 0 if len(times) < 2 else int((times[1] - times[0]).total_seconds())  # noqa: PLR2004
    if step_s <= 0:
        rule = "two lines in order tell the length of an interval, or you do"
        raise refused("document-gap", "start", rule)
    return step_s


def _instant(text: str, field: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or found.microsecond:
        rule = "a time with its offset such as 2026-03-29T00:00:00Z or 2026-03-29T01:00:00+01:00"
        raise refused("document-shape", field, rule)
    try:
        return found.astimezone(UTC)
    except OverflowError as error:  # in UTC it lies before year 1, or behind 9999
        raise refused("document-time", field, "a time that a price has") from error


def _day(text: str, field: str) -> datetime:
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise refused("document-shape", field, "a day such as 2026-03-27") from error
    return datetime(found.year, found.month, found.day, tzinfo=UTC)
