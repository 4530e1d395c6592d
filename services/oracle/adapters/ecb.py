"""Currency rates in the shape of the European Central Bank's reference rates, in XML.

The document says how much of each currency one euro buys. A rate between two others is made of
both, rounded once. A rate holds from midnight, UTC, of its day.

Source: https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final
from xml.etree.ElementTree import Element

from libs.events.pricing import Observation
from services.oracle.adapters.amounts import decimal_of, refused, stroops
from services.oracle.adapters.markup import children, name_of, parsed
from services.oracle.adapters.quotes import Quote, observations

DAY_S: Final = 86_400
EURO: Final = "EUR"


def read_rates(data: bytes, *, base: str, asset: str) -> tuple[Observation, ...]:
    """Read rates: what one unit of `base` is worth, in stroops of `asset`.

    Args:
        data: The document, of one day or several.
        base: Code of the currency that is converted.
        asset: Code of the currency to which it is converted.

    Raises:
        Refused: An element is missing, or breaks a rule; `field` names it.
    """
    days = [
        each
        for each in parsed(data).iter()
        if name_of(each) == "Cube" and each.get("time") is not None
    ]
    if not days:
        raise refused("document-shape", "Cube.time", "at least one day")
    return observations(_quote(day, base, asset) for day in days)


def _quote(day: Element, base: str, asset: str) -> Quote:
    told = day.get("time", "")
    try:
        found = date.fromisoformat(told)
    except ValueError as error:
        raise refused("document-shape", "Cube.time", "a day such as 2026-03-27") from error
    bought = {EURO: Decimal(1)}
    for each in children(day, "Cube"):
        currency = each.get("currency", "")
        if currency in bought:
            raise refused("document-shape", f"Cube.{told}.{currency}", "each currency once")
        field = f"Cube.{told}.{currency}.rate"
        bought[currency] = decimal_of(each.get("rate", ""), field)
        if bought[currency] <= 0:
            raise refused("rate-not-positive", field, "above zero")
    for currency in (base, asset):
        if currency not in bought:
            raise refused("document-unit", f"Cube.{told}.{currency}", "there is no such currency")
    value = stroops(Fraction(bought[asset]) / Fraction(bought[base]))
    if value <= 0:
        raise refused("rate-not-positive", f"Cube.{told}", "above zero, in stroops")
    return Quote(datetime(found.year, found.month, found.day, tzinfo=UTC), DAY_S, value)
