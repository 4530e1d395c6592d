"""The lines that an invoice must have, computed again. Pure.

Written apart from services/billing, so that the two can disagree.

Source: domain rules, section 5; docs/decisions/0005, bills.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from libs.events.books import LineClass
from libs.events.invoicing import InvoiceLine
from libs.events.quantities import as_date
from libs.proof.bill import Bill
from libs.proof.case import Case
from libs.proof.prices import EnergyLine, EnergyLines, Months, Prices, prorated
from libs.proof.rating import OWN, Rating
from libs.rules.numbers import scale
from libs.rules.periods import Period, days_by_month, local_midnight, period_from, period_of

ENERGY_LINES_MAX = 400
"""Most lines of energy: of more, those of one payee and version of the tariff are one line."""

_OF_A_PRICE = ("bucket", "tier", "price_stroops_per_kwh")
_PPM = 1_000_000
_YEAR_DAYS = 365


@dataclass(slots=True)
class _Writer:
    """Numbers the lines as they are written."""

    holding: str
    keeps_empty: bool
    lines: list[InvoiceLine] = field(default_factory=list)

    def add(self, **members: Any) -> None:
        """Write a line; one without energy and money is none."""
        if members["amount_stroops"] or members.get("energy_wh") or self.keeps_empty:
            number = len(self.lines) + 1
            self.lines.append(InvoiceLine(line=number, holding=self.holding, **members))

    def sum(self, *classes: LineClass) -> int:
        """What the lines of some classes come to, in stroops."""
        return sum(each.amount_stroops for each in self.lines if each.line_class in classes)


def period_number(bill: Bill) -> tuple[int, Period]:
    """Which period of its agreement an invoice is of, from 1, and where that begins and ends."""
    agreement, from_at = bill.agreement.fact, bill.invoice.fact.period_from
    first_day, zone = as_date(agreement.first_day), agreement.time_zone
    period = period_of(from_at, agreement.period, first_day, zone)
    number, each = 1, period_from(first_day, agreement.period, zone)
    while each.first_day < period.first_day:
        number, each = number + 1, period_from(each.next_day, agreement.period, zone)
    return number, period


def lines_of(case: Case, bill: Bill, rating: Rating, prices: Prices) -> list[InvoiceLine]:
    """Write the lines of the period anew.

    Args:
        case: Where it is noted what is not covered.
        bill: The bill.
        rating: What was used in the intervals of which everything is known.
        prices: What it costs.
    """
    number, period = period_number(bill)
    months = days_by_month(period.first_day, period.next_day)
    energy = EnergyLines(bill, prices, months)
    writer = _Writer(bill.agreement.fact.holding, keeps_empty=bill.is_first_version)
    rows: list[EnergyLine] = []
    for source, energy_wh in sorted(rating.used_wh.items()):  # its own use comes first
        is_own = source == OWN
        named: dict[str, Any] = {"line_class": "energy", "kind": "use"}
        if not is_own:
            named = {"line_class": "shared", "kind": "shared", "payee": source}
        known = {start: wh for start, wh in energy_wh.items() if prices.priced_at(start)}
        rows += [replace(row, members=named | row.members) for row in energy.of(known)]
    if len(rows) > ENERGY_LINES_MAX and not bill.is_first_version:
        rows = _joined(rows)
    for row in rows:
        writer.add(**row.members, amount_stroops=prices.amount(row.version, row.exact))
    if not bill.is_first_version:
        _add_running(writer, bill, prices, period)
        _add_minimum(writer, bill, months)
        _add_term(case, writer, bill, number, period)
        _add_taxes(writer, bill)
    return writer.lines


def _joined(rows: list[EnergyLine]) -> list[EnergyLine]:
    """Sum the lines of one payee and version of the tariff, as if all had one price."""
    found: dict[tuple[str | None, int], EnergyLine] = {}
    for row in rows:
        key = row.members.get("payee"), row.version.fact.version
        if key not in found:
            found[key] = row
            continue
        first = found[key]
        members = {name: said for name, said in first.members.items() if name not in _OF_A_PRICE}
        members["energy_wh"] += row.members["energy_wh"]
        found[key] = replace(first, members=members, exact=first.exact + row.exact)
    return list(found.values())


def _supplied(bill: Bill, period: Period) -> Months:
    """The local days of a period that did not begin while the supply was diverted, by month."""
    agreement = bill.agreement.fact
    days = days_by_month(period.first_day, period.next_day)
    if not bill.supply.diverted.get(agreement.holding):
        return days
    found: list[tuple[int, int]] = []
    day = period.first_day
    for in_period, of_month in days:
        begins = [
            int(local_midnight(day + timedelta(days=index), agreement.time_zone).timestamp())
            for index in range(in_period)
        ]
        kept = sum(not bill.supply.is_diverted(agreement.holding, begin) for begin in begins)
        found.append((kept, of_month))
        day += timedelta(days=in_period)
    return found


def _add_running(writer: _Writer, bill: Bill, prices: Prices, period: Period) -> None:
    """Standing charge and upkeep, both for whoever does the upkeep."""
    upkeep, months = bill.agreement.fact.upkeep, _supplied(bill, period)
    if upkeep is None:
        return
    days = sum(counted for counted, _ in months)
    named: dict[str, Any] = {"line_class": "running", "payee": upkeep.payee, "days": days}
    version = prices.version_at(int(period.from_at.timestamp()))
    if version is not None and version.fact.prices.standing_stroops_per_month:
        rate = prices.rate_of(version)
        writer.add(
            **named,
            kind="standing",
            tariff=version.fact.tariff,
            tariff_version=version.fact.version,
            price_position=str(version.position),
            rate_position=None if rate is None else str(rate.position),
            amount_stroops=prorated(version.fact.prices.standing_stroops_per_month, months, rate),
        )
    amount = prorated(upkeep.amount_stroops_per_month, months)
    writer.add(**named, kind="upkeep", amount_stroops=amount)


def _is_relieved(bill: Bill) -> bool:
    """Whether neither minimum nor term is billed: it is owned, or diverted at the end."""
    until_s = int(bill.invoice.fact.period_until.timestamp())
    owned_at, holding = bill.supply.owned_at, bill.agreement.fact.holding
    is_owned = owned_at is not None and owned_at.timestamp() < until_s
    return is_owned or bill.supply.is_diverted(holding, until_s - 1)


def _add_minimum(writer: _Writer, bill: Bill, months: Months) -> None:
    """What is missing to the minimum payment; of a part of a month a part of it."""
    minimum = bill.agreement.fact.terms.minimum_payment_stroops
    if bill.agreement.fact.period == "month":
        minimum = prorated(minimum, months)
    missing = minimum - writer.sum("energy", "shared", "running")
    if missing > 0 and not _is_relieved(bill):
        writer.add(line_class="energy", kind="minimum", amount_stroops=missing)


def _add_term(case: Case, writer: _Writer, bill: Bill, number: int, period: Period) -> None:
    """The rest at the end of the term: whether it may be demanded, and at most how much.

    How much it was rests on everything that was paid before, which is not in the file.
    """
    agreement = bill.agreement.fact
    term = agreement.term_periods
    if term is None or number < term or _is_relieved(bill):
        return
    told = [line.amount_stroops for line in bill.invoice.fact.lines if line.kind == "term"]
    case.not_covered.append(
        f"How much was left to pay at the end of the term of {agreement.agreement}: that rests on "
        "everything that was billed and paid before."
    )
    days = (period.next_day - as_date(agreement.first_day)).days
    units, rate = bill.holding.units, agreement.terms.return_ppm_year
    # Each day may have been rounded by itself.
    most = units + scale(units * days, rate, _YEAR_DAYS * _PPM) + days
    rest = most - writer.sum("energy")
    if told and 0 < told[0] <= rest:
        writer.add(line_class="energy", kind="term", amount_stroops=told[0])


def _add_taxes(writer: _Writer, bill: Bill) -> None:
    """One line per tax, on the lines of its classes: one rounding each."""
    for tax in bill.agreement.fact.taxes:
        base = [line for line in writer.lines if line.line_class in tax.on]
        amount = scale(sum(line.amount_stroops for line in base), tax.rate_ppm, _PPM)
        writer.add(
            line_class="tax",
            kind="tax",
            payee=tax.authority,
            rate_ppm=tax.rate_ppm,
            base_lines=tuple(line.line for line in base),
            amount_stroops=amount,
        )
