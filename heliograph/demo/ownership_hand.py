"""The bills and the repayment of the demonstration, by plain arithmetic of its own. Pure.

It uses neither the rules of the services nor their rounding, on purpose: it can disagree with them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from heliograph.demo import ownership_cast as own
from heliograph.demo.ownership_season import STEP_S, Season, midnight_of

PERIOD_DAYS = 14
"""Days of a billing period."""

_PPM = 1_000_000
_DAYS_OF_YEAR = 365
_SATURDAY = 5


def rounded(value: Fraction) -> int:
    """Round half to even."""
    return round(value)


def shared_out(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share an amount out by weights: everybody his whole part, the rest to the largest rests."""
    whole = sum(weights.values())
    exact = {key: Fraction(amount * weight, whole) for key, weight in weights.items()}
    parts = {key: int(value) for key, value in exact.items()}
    order = sorted(exact, key=lambda key: (parts[key] - exact[key], key))
    for key in order[: amount - sum(parts.values())]:
        parts[key] += 1
    return parts


@dataclass(slots=True)
class Bill:
    """What one document asks for."""

    energy_wh: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """Energy by class and bucket, in Wh."""
    amounts: dict[str, int] = field(default_factory=dict)
    """Amount by class, in stroops."""

    @property
    def total_stroops(self) -> int:
        """What it asks for, in stroops."""
        return sum(self.amounts.values())


def price_of(bucket: str) -> int:
    """Price of a bucket in stroops per kWh."""
    return next(b.tiers[0].price_stroops_per_kwh for b in own.PRICES.buckets if b.name == bucket)


def bucket_at(instant: int) -> str:
    """The bucket that holds at an instant."""
    local = datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(own.ZONE))
    week = own.PRICES.weekend if local.weekday() >= _SATURDAY else own.PRICES.weekday
    return own.PRICES.buckets[int(week[local.month - 1][local.hour])].name


def bills(
    season: Season, diverted: tuple[int, int], owned_on: int, *, is_corrected: bool
) -> dict[tuple[str, int], Bill]:
    """Every bill of the season.

    Args:
        season: What was measured.
        diverted: Days (from, until) in which Ben's part is sold.
        owned_on: Day on whose midnight Anna owns her part.
        is_corrected: Whether the corrected readings count.

    Returns:
        Bills by household and number of the period, from 0.
    """
    sold = range(*(int(midnight_of(day).timestamp()) for day in diverted))
    owned_at = int(midnight_of(owned_on).timestamp())
    units = {each.name: each.units_ppm for each in own.HOUSEHOLDS}
    corrected = _corrected() if is_corrected else frozenset()
    found: dict[tuple[str, int], Bill] = {}
    for place, at in enumerate(season.instants):
        ben_wh = season.ben_wh[place] + (own.SCRIPT.correct_wh if at in corrected else 0)
        drawn = {"anna": season.anna_wh[place], "ben": 0 if at in sold else ben_wh}
        entitled = shared_out(season.generated_wh[place], units)
        used = {name: min(drawn[name], entitled[name]) for name in drawn}
        spare = {name: entitled[name] - used[name] for name in drawn}
        lacking = {name: drawn[name] - used[name] for name in drawn}
        period = _period_of(at)
        for name, other in (("anna", "ben"), ("ben", "anna")):
            bill = found.setdefault((name, period), Bill())
            if not (name == "anna" and at >= owned_at):
                bill.energy_wh["energy", bucket_at(at)] += used[name]
            bill.energy_wh["shared", bucket_at(at)] += min(spare[other], lacking[name])
    for (name, period), bill in found.items():
        _price(bill, period, range(*diverted) if name == "ben" else range(0))
    return found


def _corrected() -> frozenset[int]:
    script = own.SCRIPT
    days = range(script.correct_from, script.correct_from + script.correct_days)
    noons = [int(midnight_of(day).replace(hour=18).timestamp()) for day in days]
    return frozenset(noon + STEP_S * step for noon in noons for step in range(8))


def _period_of(instant: int) -> int:
    local = datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(own.ZONE)).date()
    return (local - own.FIRST_DAY).days // PERIOD_DAYS


def _price(bill: Bill, period: int, sold: range) -> None:
    """Price the energy, then what is charged by days that are not sold, then the tax."""
    for kind in ("energy", "shared"):
        bill.amounts[kind] = sum(
            rounded(Fraction(wh * price_of(bucket), 1_000))
            for (of_kind, bucket), wh in bill.energy_wh.items()
            if of_kind == kind
        )
    numbers = range(PERIOD_DAYS * period, PERIOD_DAYS * (period + 1))
    days = [own.FIRST_DAY + timedelta(days=number) for number in numbers if number not in sold]
    bill.amounts["running"] = sum(
        _by_days(amount, days)
        for amount in (own.STANDING_STROOPS, own.UPKEEP.amount_stroops_per_month)
    )
    base = bill.amounts["energy"] + bill.amounts["shared"]
    bill.amounts["tax"] = rounded(Fraction(base * own.TAX.rate_ppm, _PPM))


def _by_days(amount: int, days: Sequence[date]) -> int:
    months: dict[tuple[int, int], int] = defaultdict(int)
    for day in days:
        months[day.year, day.month] += 1
    return sum(
        rounded(Fraction(amount * count, _days_of(*month))) for month, count in months.items()
    )


def _days_of(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1)
    return (following - date(year, month, 1)).days


@dataclass(slots=True)
class Repayment:
    """How a household repays its part, by hand."""

    units: int
    """Units of the part: what is to be repaid, in stroops."""
    title: dict[str, int]
    """Title of every investor in the whole system, by address; changed in place."""
    own_shares: int = 0
    """What is repaid."""
    accrued_stroops: int = 0
    """Return that accrued in all."""
    returned_stroops: int = 0
    """Return that was paid in all."""
    next_day: date = own.FIRST_DAY
    """First day whose return is not accrued."""
    claims: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Return that is due to every investor, by address."""

    def accrue(self, day: date) -> None:
        """Accrue through a local day, that day included."""
        count = (day - self.next_day).days + 1
        principal = self.units - self.own_shares
        yearly = Fraction(own.TERMS.return_ppm_year, _PPM)
        amount = rounded(principal * count * yearly / _DAYS_OF_YEAR) if count > 0 else 0
        if amount == 0:
            return
        self.next_day = day + timedelta(days=1)
        self.accrued_stroops += amount
        for address, part in shared_out(amount, self.title).items():
            self.claims[address] += part

    def pay(self, day: date, amount: int) -> None:
        """Energy money: return that accrued first, then principal."""
        self.accrue(day)
        due = sum(self.claims.values())
        returned = min(amount, due)
        if returned:
            for address, part in shared_out(returned, self.claims).items():
                self.claims[address] -= part
        self.returned_stroops += returned
        principal = amount - returned
        if principal:
            for address, part in shared_out(principal, self.title).items():
                self.title[address] -= part
        self.own_shares += principal
