"""Tariffs in the shape of OpenEI's utility rate database (URDB), in JSON.

What is read: the tiers of every period, the hours of weekdays and weekends, the fixed charge, and
what is paid for energy that is sold. What would change a bill and cannot be carried over is
refused; demand charges are left out where that is asked for, and then named.

Source: https://openei.org/services/doc/rest/util_rates/?version=8
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from libs.events.pricing import (
    BUCKET_LETTERS,
    BUCKETS_MAX,
    TIERS_MAX,
    Bucket,
    FeedIn,
    TariffPrices,
    Tier,
    TimeOfUse,
)
from libs.events.quantities import WH_PER_KWH
from libs.rules.numbers import scale
from libs.runtime.failures import Refused
from services.oracle.adapters.amounts import checked, refused, stroops

MONTHS: Final = 12
HOURS: Final = 24
DAYS_OF_YEAR: Final = 365

DEMAND: Final = (
    "demandratestructure",
    "flatdemandstructure",
    "coincidentratestructure",
    "demandratchetpercentage",
    "demandreactivepowercharge",
)
"""Charges for power in place of energy, which no meter of ours measures."""

OTHER_CHARGES: Final = (
    "fueladjustmentsmonthly",
    "minmonthlycharge",
    "annualmincharge",
    "mincharge",
    "fixedchargeeaaddl",
)
"""Charges that would change a bill and that a tariff cannot say."""

NAMED_ONLY: Final = ("dgrules", "usenetmetering")
"""Members about feeding in that are not followed: what is paid is the `sell` of the tiers."""


@dataclass(frozen=True, slots=True)
class UrdbTariff:
    """What a document says, as a tariff says it."""

    prices: TariffPrices
    """The prices, with the hash of the document."""
    left_out: tuple[str, ...]
    """Members of the document that were not carried over."""


def read_tariff(data: bytes, *, ignores_demand: bool = False) -> UrdbTariff:
    """Read a tariff.

    Args:
        data: A document of one tariff, or an answer of the database with one item.
        ignores_demand: Whether demand charges are left out, in place of a refusal.

    Raises:
        Refused: A member is missing, or breaks a rule; `field` names it.
    """
    document = _document(data)
    left_out = [name for name in NAMED_ONLY if document.get(name)]
    for name in (*DEMAND, *OTHER_CHARGES):
        if not _is_charged(document.get(name)):
            continue
        if name in OTHER_CHARGES:
            raise refused("charge-not-supported", name, "a tariff cannot say this charge")
        if not ignores_demand:
            raise refused(
                "demand-charge",
                name,
                "power is not billed; leave it out on purpose (--ignore-demand)",
            )
        left_out.append(name)
    structure = _structure(document)
    buckets = tuple(_bucket(place, tiers) for place, tiers in enumerate(structure))
    weekday = _schedule(document, "energyweekdayschedule", len(buckets))
    weekend = _schedule(document, "energyweekendschedule", len(buckets))
    try:
        prices = TariffPrices(
            time_of_use=TimeOfUse(buckets=buckets, weekday=weekday, weekend=weekend),
            standing_stroops_per_month=_standing(document),
            feed_in=_feed_in(structure),
            source_sha256=hashlib.sha256(data).hexdigest(),
        )
    except ValidationError as error:
        raise _broken(error, "energyratestructure") from error
    return UrdbTariff(prices, tuple(left_out))


def _document(data: bytes) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(data, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise refused("document-shape", "document", "JSON in UTF-8") from error
    if isinstance(found, dict) and isinstance(items := found.get("items"), list):
        if len(items) != 1:
            raise refused("document-shape", "items", f"one tariff, not {len(items)}")
        found = items[0]
    if not isinstance(found, dict):
        raise refused("document-shape", "document", "a JSON object")
    return found


def _is_charged(value: Any) -> bool:
    """Whether somewhere in a member stands a number above or below zero that is a rate."""
    if isinstance(value, Mapping):
        rates = (each for name, each in value.items() if name in {"rate", "adj"})
        return any(_is_charged(each) for each in rates)
    if isinstance(value, list):
        return any(_is_charged(each) for each in value)
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool) and value != 0


def _number(value: Any, field: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise refused("document-number", field, "a number")
    return checked(Decimal(value), field)


def _structure(document: Mapping[str, Any]) -> Sequence[Sequence[Mapping[str, Any]]]:
    name = "energyratestructure"
    found = document.get(name)
    if not isinstance(found, list) or not 1 <= len(found) <= BUCKETS_MAX:
        raise refused("document-shape", name, f"1 to {BUCKETS_MAX} periods")
    for place, tiers in enumerate(found):
        if not isinstance(tiers, list) or not 1 <= len(tiers) <= TIERS_MAX:
            raise refused("document-shape", f"{name}.{place}", f"1 to {TIERS_MAX} tiers")
        for number, tier in enumerate(tiers):
            if not isinstance(tier, dict):
                raise refused("document-shape", f"{name}.{place}.{number}", "a JSON object")
    return found


def _bucket(place: int, tiers: Sequence[Mapping[str, Any]]) -> Bucket:
    field = f"energyratestructure.{place}"
    made = tuple(_tier(tier, f"{field}.{number}") for number, tier in enumerate(tiers))
    try:
        return Bucket(name=f"period{place + 1}", tiers=made)
    except ValidationError as error:
        raise _broken(error, field) from error


def _tier(tier: Mapping[str, Any], field: str) -> Tier:
    if "rate" not in tier:
        raise refused("document-shape", f"{field}.rate", "a tier has a price")
    unit, limit = tier.get("unit"), tier.get("max")
    # Without a limit there is nothing that the unit would count; a price is always one per kWh.
    if unit != "kWh" and (unit is not None or limit is not None):
        raise refused("document-unit", f"{field}.unit", "kWh, and no other unit")
    price = _number(tier["rate"], f"{field}.rate")
    if tier.get("adj") is not None:
        price += _number(tier["adj"], f"{field}.adj")
    if (price_stroops := stroops(price)) <= 0:
        raise refused("price-not-positive", f"{field}.rate", "rate and adj together above zero")
    up_to_wh = None
    if limit is not None:
        energy_wh = _number(limit, f"{field}.max") * WH_PER_KWH
        if energy_wh <= 0 or energy_wh != int(energy_wh):
            raise refused("document-number", f"{field}.max", "whole Wh above zero")
        up_to_wh = int(energy_wh)
    try:
        return Tier(price_stroops_per_kwh=price_stroops, up_to_wh=up_to_wh)
    except ValidationError as error:
        raise _broken(error, field) from error


def _schedule(document: Mapping[str, Any], name: str, buckets: int) -> tuple[str, ...]:
    """The hours of the months, as letters; every hour names a period that there is."""
    months = document.get(name)
    if not isinstance(months, list) or len(months) != MONTHS:
        raise refused("tariff-gap", name, "12 months")
    return tuple("".join(_hours(hours, f"{name}.{at}", buckets)) for at, hours in enumerate(months))


def _hours(hours: Any, field: str, buckets: int) -> Iterator[str]:
    if not isinstance(hours, list) or len(hours) != HOURS:
        raise refused("tariff-gap", field, "24 hours")
    for hour, period in enumerate(hours):
        is_known = isinstance(period, int) and not isinstance(period, bool)
        if not is_known or not 0 <= period < buckets:
            raise refused("tariff-gap", f"{field}.{hour}", f"a period from 0 to {buckets - 1}")
        yield BUCKET_LETTERS[period]


def _standing(document: Mapping[str, Any]) -> int:
    """The fixed charge in stroops a month; what is told by the day is a twelfth of a year."""
    names = [
        name
        for name in ("fixedchargefirstmeter", "fixedmonthlycharge")
        if document.get(name) is not None
    ]
    if len(names) > 1:
        raise refused("document-shape", names[1], f"not together with {names[0]}")
    if not names:
        return 0
    amount = _number(document[names[0]], names[0])
    if amount < 0:
        raise refused("price-not-positive", names[0], "a fixed charge is not below zero")
    unit = "$/month" if names[0] == "fixedmonthlycharge" else document.get("fixedchargeunits")
    match unit:
        case "$/month":
            return stroops(amount)
        case "$/day":
            return scale(stroops(amount), DAYS_OF_YEAR, MONTHS)
        case "$/year":
            return scale(stroops(amount), 1, MONTHS)
        case _:
            raise refused("document-unit", "fixedchargeunits", "$/month, $/day or $/year")


def _feed_in(structure: Sequence[Sequence[Mapping[str, Any]]]) -> FeedIn | None:
    """What is paid for energy, where every tier says the same."""
    first: int | None = None
    for place, tiers in enumerate(structure):
        for number, tier in enumerate(tiers):
            field = f"energyratestructure.{place}.{number}.sell"
            told = tier.get("sell")
            price = 0 if told is None else stroops(_number(told, field))
            if price < 0:
                raise refused("price-not-positive", field, "not below zero")
            first = price if first is None else first
            if price != first:
                raise refused("feed-in-differs", field, "one price for all energy that is sold")
    return FeedIn(price_stroops_per_kwh=first) if first else None


def _broken(error: ValidationError, field: str) -> Refused:
    """What the model of the tariff says, at the member of the document."""
    text = error.errors(include_url=False, include_input=False)[0]["msg"]
    return refused("document-shape", field, text.removeprefix("Value error, "))
