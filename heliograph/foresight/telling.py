"""How foresight is told: tables for people, JSON for programs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from heliograph.foresight.debt import Debt
from heliograph.foresight.forecast import Forecast
from heliograph.foresight.preview import Next, Preview
from heliograph.foresight.what_if import Answer, Row
from libs.events.decimals import KWH_PLACES, MONEY_PLACES, write_decimal
from libs.events.invoicing import AgreementOpened, InvoiceLine
from libs.events.quantities import format_instant
from libs.rules.periods import Period, local_day

NOTHING = "-"
"""Stands where there is no number."""


def money(stroops: int | None) -> str:
    """An amount as people read it, with two places at least."""
    if stroops is None:
        return NOTHING
    whole, _, part = write_decimal(stroops, MONEY_PLACES).partition(".")
    return f"{whole}.{part:0<2}"


def kwh(energy_wh: int) -> str:
    """Energy as people read it."""
    return write_decimal(energy_wh, KWH_PLACES)


class Teller:
    """Prints answers for people."""

    def __init__(self, console: Console) -> None:
        """Print to a console."""
        self._console = console

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table whose first column is text; the others are numbers."""
        self._console.print(title, style="bold", highlight=False, markup=False, soft_wrap=True)
        table = Table()
        for number, column in enumerate(columns):
            # No digit is cut where the terminal is narrow: the line then goes on below.
            longest = max(len(cell) for cell in (column, *(row[number] for row in rows)))
            table.add_column(column, justify="right" if number else "left", min_width=longest)
        for row in rows:
            table.add_row(*row)
        self._console.print(table, markup=False, crop=False, no_wrap=True, overflow="ignore")

    def preview(self, found: Preview) -> None:
        """What is not billed yet."""
        for each in found.periods:
            self._next(found, each)
        self._say(f"Known by {format_instant(found.by_at)}. Nothing was written.")

    def _next(self, found: Preview, each: Next) -> None:
        opened, bill = found.agreement, each.bill
        title = f"{each.invoice}: {_span(each.period)}, in {opened.asset.partition(':')[0]}"
        rows = [
            (
                _line_name(line),
                kwh(line.energy_wh) if line.energy_wh else "",
                _price(line),
                money(line.amount_stroops),
            )
            for line in bill.lines
        ]
        rows.append(("total by now", "", "", money(bill.total_stroops)))
        self._table(title, ("line", "kWh", "a kWh", "amount"), rows)
        if each.ahead_intervals:
            self._say(f"  The period runs: {each.ahead_intervals:,} intervals are still to come.")
        if each.unknown_intervals:
            self._say(
                f"  {each.unknown_intervals:,} intervals lack a meter or a price: not billed."
            )
        if each.drafted is not None:
            self._say(f"  Its draft, as the period ended: {money(each.drafted.total_stroops)}.")
        self._say(f"  Its invoice is final at {format_instant(each.final_at)}.")

    def what_if(self, found: Answer) -> None:
        """What would have been."""
        rows = [
            (
                _days(row),
                money(row.billed_stroops),
                money(row.supposed_stroops),
                money(row.difference_stroops),
                _unrated(row),
            )
            for row in found.rows
        ]
        billed, supposed = found.billed_stroops, found.supposed_stroops
        difference = money(supposed - billed) if found.is_of_same_days else NOTHING
        rows.append(("total", money(billed), money(supposed), difference, ""))
        opened = found.agreement
        title = f"{opened.agreement}, tariff {opened.tariff}, every {opened.period}"
        columns = ("period", "billed", "would be", "difference", "not rated")
        self._table(title, columns, rows)
        if any(row.is_part for row in found.rows):
            self._say("* a part of a period: it ends with the last real bill.")
        if not found.is_of_same_days:
            self._say("The totals are of different days, so they are not compared.")
        unpriced = sum(row.unpriced_intervals for row in found.rows)
        if unpriced:
            self._say(
                f"{unpriced:,} intervals of what was billed have no price in this tariff: they are "
                "left out, not guessed."
            )
        if found.disputed_stroops:
            self._say(f"Disputes credited {money(found.disputed_stroops)} of what was billed.")
        self._ended(found)

    def _ended(self, found: Answer) -> None:
        debt, opened = found.debt, found.agreement
        paid = debt.paid
        self._say(
            f"With every {'bill' if found.payment_stroops is None else 'payment'} paid as it falls "
            f"due, by {format_instant(found.until_at)}: {money(paid.total_stroops)}, of it "
            f"{money(paid.return_stroops)} return and {money(paid.principal_stroops)} principal."
        )
        self._say(
            f"Own shares: {paid.principal_stroops:,} (really {found.own_shares:,}); principal left "
            f"{money(debt.principal_stroops)}, open of bills {money(debt.open_stroops)}."
        )
        if found.owned_at is not None:
            self._say(f"The holding would be owned since {_day(opened, found.owned_at)}.")

    def forecast(self, found: Forecast, opened: AgreementOpened) -> None:
        """How it would end."""
        if found.outcome == "owned-already":
            self._say(f"The holding of {opened.agreement} is owned: nothing is left to pay.")
            return
        self._say(f"Repeats {found.basis}.")
        if found.unknown_intervals:
            self._say(
                f"{found.unknown_intervals:,} of its {found.known_intervals:,} intervals are not "
                "known: nothing is billed for them, so the end may come earlier."
            )
        paid = found.debt.paid
        others = sum(n for kind, n in paid.by_class.items() if kind != "energy")
        rows = [
            ["principal now", money(found.principal_stroops)],
            ["return due now", money(found.return_stroops)],
            ["bills to come", f"{found.bill_count:,}"],
            ["return to be paid", money(paid.return_stroops)],
            ["principal to be paid", money(paid.principal_stroops)],
            ["shared, running, tax", money(others)],
            ["total to be paid", money(paid.total_stroops)],
        ]
        self._table(f"{opened.agreement}, tariff {opened.tariff}", ("", "amount"), rows)
        if found.owned_at is None:
            self._say(f"no-end: {found.reason}. The amounts are those until that was clear.")
        else:
            self._say(f"The holding would be owned on {_day(opened, found.owned_at)}.")


def _day(opened: AgreementOpened, at: datetime) -> str:
    return local_day(at, opened.time_zone).isoformat()


def _span(period: Period) -> str:
    return f"{period.first_day} until {period.next_day}"


def _days(row: Row) -> str:
    return f"{row.first_day} until {row.next_day}{' *' * row.is_part}"


def _unrated(row: Row) -> str:
    return f"{row.unrated_intervals:,}" if row.unrated_intervals else ""


def _price(line: InvoiceLine) -> str:
    return "" if line.price_stroops_per_kwh is None else money(line.price_stroops_per_kwh)


def _line_name(line: InvoiceLine) -> str:
    bucket = f" {line.bucket}" if line.bucket is not None else ""
    tier = f" tier {line.tier}" if bucket and line.tier is not None else ""
    payee = f", to {line.payee}" if line.payee is not None else ""
    return f"{line.kind}{bucket}{tier}{payee}"


# -- for programs -----------------------------------------------------------------------------


def json_of_preview(found: Preview) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "agreement": found.agreement.agreement,
        "asset": found.agreement.asset,
        "known_by": format_instant(found.by_at),
        "periods": [
            {
                "invoice": each.invoice,
                "period_from": format_instant(each.period.from_at),
                "period_until": format_instant(each.period.until_at),
                "final_at": format_instant(each.final_at),
                "rated_intervals": each.bill.rated_intervals,
                "unknown_intervals": each.unknown_intervals,
                "ahead_intervals": each.ahead_intervals,
                "lines": [line.model_dump(mode="json") for line in each.bill.lines],
                "total_stroops": each.bill.total_stroops,
                "drafted_stroops": None if each.drafted is None else each.drafted.total_stroops,
            }
            for each in found.periods
        ],
    }


def json_of_answer(found: Answer) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "agreement": found.agreement.agreement,
        "asset": found.agreement.asset,
        "tariff": found.agreement.tariff,
        "period": found.agreement.period,
        "known_by": format_instant(found.until_at),
        "periods": [
            {
                "first_day": row.first_day.isoformat(),
                "next_day": row.next_day.isoformat(),
                "is_part": row.is_part,
                "billed_stroops": row.billed_stroops,
                "supposed_stroops": row.supposed_stroops,
                "difference_stroops": row.difference_stroops,
                "by_class": row.by_class,
                "unrated_intervals": row.unrated_intervals,
                "unpriced_intervals": row.unpriced_intervals,
            }
            for row in found.rows
        ],
        "billed_stroops": found.billed_stroops,
        "supposed_stroops": found.supposed_stroops,
        "is_of_same_days": found.is_of_same_days,
        "disputed_stroops": found.disputed_stroops,
        "own_shares_now": found.own_shares,
        "owned_at": _instant(found.owned_at),
        **_json_of_debt(found.debt),
    }


def json_of_forecast(found: Forecast, opened: AgreementOpened) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "agreement": opened.agreement,
        "asset": opened.asset,
        "tariff": opened.tariff,
        "known_by": format_instant(found.from_at),
        "outcome": found.outcome,
        "reason": found.reason or None,
        "basis": found.basis or None,
        "known_intervals": found.known_intervals,
        "unknown_intervals": found.unknown_intervals,
        "principal_now_stroops": found.principal_stroops,
        "return_now_stroops": found.return_stroops,
        "bill_count": found.bill_count,
        "owned_at": _instant(found.owned_at),
        **_json_of_debt(found.debt),
    }


def _json_of_debt(debt: Debt) -> dict[str, Any]:
    return {
        "paid_stroops": debt.paid.total_stroops,
        "paid_by_class": debt.paid.by_class,
        "prepaid_stroops": debt.paid.prepaid_stroops,
        "return_paid_stroops": debt.paid.return_stroops,
        "principal_paid_stroops": debt.paid.principal_stroops,
        "principal_left_stroops": debt.principal_stroops,
        "return_left_stroops": debt.return_stroops,
        "open_stroops": debt.open_stroops,
        "capped_stroops": debt.capped_stroops,
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else format_instant(at)
