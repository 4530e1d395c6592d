"""Day-ahead prices in ENTSO-E's `Publication_MarketDocument`, in XML.

A period counts its points from 1. In curves of the kind A01 every point stands there; in A03 a
point is left out whose price is that of the one before. Times are UTC, so a local day has 23, 24
or 25 hours and nothing more has to be known about it.

Source: ENTSO-E transparency platform, process A44; IEC 62325-451-3.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element

from libs.events.pricing import Observation
from libs.runtime.failures import Refused
from services.oracle.adapters.amounts import decimal_of, refused, stroops
from services.oracle.adapters.markup import child, children, name_of, parsed, text_of
from services.oracle.adapters.quotes import QUOTES_MAX, Quote, observations

STEPS_S: Final = {"PT60M": 3_600, "PT1H": 3_600, "PT30M": 1_800, "PT15M": 900}
"""Lengths of an interval that are read."""

KWH_PER_MWH: Final = 1_000
_REASON_MAX: Final = 200


def read_prices(data: bytes, *, currency: str) -> tuple[Observation, ...]:
    """Read the prices of a document, in stroops per kWh.

    Args:
        data: The document.
        currency: Code of the currency that it must be in, such as `EUR`.

    Raises:
        Refused: An element is missing, or breaks a rule; `field` names it.
    """
    root = parsed(data)
    if name_of(root) == "Acknowledgement_MarketDocument":
        reason = next((each.text or "" for each in root.iter() if name_of(each) == "text"), "")
        raise Refused("no-prices", f"the platform has no prices: {reason.strip()[:_REASON_MAX]}")
    if name_of(root) != "Publication_MarketDocument":
        raise refused("document-shape", "document", "a Publication_MarketDocument")
    return observations(
        quote
        for number, series in enumerate(children(root, "TimeSeries"))
        for quote in _series(series, f"TimeSeries.{number}", currency)
    )


def _series(series: Element, field: str, currency: str) -> Iterator[Quote]:
    told = text_of(series, "currency_Unit.name", field)
    if told != currency:
        raise refused("document-unit", f"{field}.currency_Unit.name", f"{currency}, not {told}")
    unit = text_of(series, "price_Measure_Unit.name", field)
    if unit != "MWH":
        raise refused("document-unit", f"{field}.price_Measure_Unit.name", f"MWH, not {unit}")
    curve = "A01" if child(series, "curveType") is None else text_of(series, "curveType", field)
    if curve not in {"A01", "A03"}:
        raise refused("document-shape", f"{field}.curveType", f"A01 or A03, not {curve}")
    for number, period in enumerate(children(series, "Period")):
        yield from _period(period, f"{field}.Period.{number}", repeats=curve == "A03")


def _period(period: Element, field: str, *, repeats: bool) -> Iterator[Quote]:
    resolution = text_of(period, "resolution", field)
    step_s = STEPS_S.get(resolution)
    if step_s is None:
        known = ", ".join(STEPS_S)
        raise refused("document-unit", f"{field}.resolution", f"{known}; not {resolution}")
    interval = child(period, "timeInterval")
    if interval is None:
        raise refused("document-shape", f"{field}.timeInterval", "is missing")
    place = f"{field}.timeInterval"
    start, end = (_instant(text_of(interval, each, place), place) for each in ("start", "end"))
    count, rest = divmod(int((end - start).total_seconds()), step_s)
    if count < 1 or rest or count > QUOTES_MAX:
        raise refused("document-shape", place, "a whole number of intervals, at least one")
    points = _points(period, field, count)
    value: int | None = None
    for position in range(1, count + 1):
        told = points.get(position)
        if told is None and (value is None or not repeats):
            raise refused("document-gap", f"{field}.Point", f"position {position} is missing")
        value = told if told is not None else value
        assert value is not None, "refused above"
        at = int(start.timestamp()) + (position - 1) * step_s
        yield Quote(datetime.fromtimestamp(at, UTC), step_s, value)


def _points(period: Element, field: str, count: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for point in children(period, "Point"):
        place = f"{field}.Point"
        text = text_of(point, "position", place)
        position = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0  # noqa: PLR2004
        if not 1 <= position <= count or position in found:
            raise refused("document-shape", f"{place}.position", f"1 to {count}, each once")
        amount = f"{place}.{position}.price.amount"
        price = decimal_of(text_of(point, "price.amount", place), amount)
        found[position] = stroops(price, per=KWH_PER_MWH)
    return found


def _instant(text: str, field: str) -> datetime:
    for pattern in ("%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise refused("document-shape", field, "a time such as 2026-03-28T23:00Z, in UTC")
