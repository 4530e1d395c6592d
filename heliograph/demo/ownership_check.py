"""Finds every figure of the demonstration of ownership in two or three ways that share no code.

The streams are read as plain JSON and added up with plain sums; the views answer through Postgres;
by hand it is computed from the measurements and the script.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from heliograph.demo import cast
from heliograph.demo import ownership_cast as own
from heliograph.demo.check import Figure, Ledgers
from heliograph.demo.figures import Views, kwh, money
from heliograph.demo.ownership_hand import PERIOD_DAYS, Bill, Repayment, bills, shared_out
from heliograph.demo.ownership_play import UNITS_STROOPS
from heliograph.demo.ownership_season import STEP_S, Season, midnight_of

GRACE_ENDS_ON, REMINDED_ON, ALERTED_ON = 71, 51, 64
"""Days of the script: Ben's second invoice is due on day 36. Reminded strictly after one period of
14 days, alerted after two; grace is over then too, and its notice a week later."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was played, and where to look."""

    season: Season
    """What was measured."""
    ledgers: Ledgers
    """The streams."""
    views: Views
    """The gateway."""


async def figures_of(found: Found) -> list[Figure]:
    """Find every figure in every way there is."""
    return [
        *await _bill_figures(found),
        *await _repayment_figures(found),
        *_late_figures(found.ledgers),
        *await _grid_figures(found),
        *await _money_figures(found),
    ]


def day_of(instant: str) -> int:
    """The day of the play of an instant."""
    local = datetime.fromisoformat(instant).astimezone(ZoneInfo(own.ZONE)).date()
    return (local - own.FIRST_DAY).days


def _period(invoice: Mapping[str, Any]) -> int:
    return day_of(invoice["period_from"]) // PERIOD_DAYS


async def _bill_figures(found: Found) -> list[Figure]:
    """Every document: the first bill of each period, and the one that replaced it."""
    script = own.SCRIPT
    diverted = (GRACE_ENDS_ON, script.ben_cures_on)
    first, last = (
        bills(found.season, diverted, script.anna_pays_off_on, is_corrected=flag)
        for flag in (False, True)
    )
    issued = found.ledgers.named("InvoiceIssued")
    viewed = {row["invoice"]: row for row in await found.views.rows("invoices")}
    credited = {note["invoice"]: note for note in found.ledgers.named("CreditNoteIssued")}
    figures = []
    for invoice in issued:
        place = invoice["agreement"], _period(invoice)
        by_hand = last[place] if "replaces" in invoice else first[place]
        figures.append(_bill_figure(invoice, by_hand, viewed[invoice["invoice"]]))
    changed = {place for place in first if first[place].amounts != last[place].amounts}
    replaced = {
        (invoice["agreement"], _period(invoice)) for invoice in issued if "replaces" in invoice
    }
    names = {way: _names(places) for way, places in (("streams", replaced), ("by hand", changed))}
    figures.append(Figure("bills that the correction replaced", names))
    undone = sum(note["total_stroops"] for note in credited.values())
    was = sum(first[place].total_stroops for place in changed)
    figures.append(Figure("credited", {"streams": money(undone), "by hand": money(was)}))
    return figures


def _names(places: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} period {period + 1}" for name, period in sorted(places))


def _bill_figure(invoice: Mapping[str, Any], bill: Bill, viewed: Mapping[str, Any]) -> Figure:
    amounts: dict[str, int] = defaultdict(int)
    for line in invoice["lines"]:
        amounts[line["line_class"]] += line["amount_stroops"]
    classes = ("energy", "shared", "running", "tax")

    def told(of: Mapping[str, int]) -> str:
        return " + ".join(money(of.get(name, 0)) for name in classes)

    total = {"streams": money(invoice["total_stroops"]), "views": money(viewed["total_stroops"])}
    if told(amounts) != told(bill.amounts):
        total["streams"], total["by hand"] = told(amounts), told(bill.amounts)
    else:
        total["by hand"] = money(bill.total_stroops)
    return Figure(f"bill {invoice['invoice']}", total)


def _settlements(ledgers: Ledgers) -> list[dict[str, Any]]:
    """Payments and applied credit, in the order in which they happened."""
    return [
        {**fact["data"], "day": day_of(fact["time"])}
        for fact in ledgers.facts[f"LEDGER_{own.BOOK}"]
        if fact["type"].split(".")[1] in {"PaymentSettled", "CreditApplied"}
    ]


def _energy_of(settled: Mapping[str, Any]) -> int:
    """Money of a settlement that went through the waterfall, in stroops."""
    if settled.get("kind") == "prepayment":
        moves = [*settled["returns"], *settled["principal"]]
        return sum(move["amount_stroops"] for move in moves)
    return sum(
        part["amount_stroops"] for part in settled["cleared"] if part["line_class"] == "energy"
    )


def repaid_by_hand(ledgers: Ledgers) -> tuple[dict[str, Repayment], dict[str, int]]:
    """Repay again what was paid, by plain arithmetic.

    Returns:
        The repayment of each household, and every investor's title in the end.
    """
    address = {name: cast.key_of(name).address for name in own.RAISE_STROOPS}
    title = {address[name]: amount for name, amount in own.RAISE_STROOPS.items()}
    for name, amount in own.SEED_STROOPS.items():
        title[address[name]] += amount * own.SEED.factor_ppm // 1_000_000
    repayments = {
        each.name: Repayment(UNITS_STROOPS * each.units_ppm // 1_000_000, title)
        for each in own.HOUSEHOLDS
    }
    for settled in _settlements(ledgers):
        if energy := _energy_of(settled):
            day = own.FIRST_DAY + timedelta(days=settled["day"])
            for each in repayments.values() if settled["principal"] else ():
                each.accrue(day)  # title is about to move, by which return is shared out
            repayments[settled["agreement"]].pay(day, energy)
    names = {place: name for name, place in address.items()}
    return repayments, {names[place]: shares for place, shares in title.items()}


async def _repayment_figures(found: Found) -> list[Figure]:
    ledgers, figures = found.ledgers, []
    by_hand, title = repaid_by_hand(ledgers)
    for each in own.HOUSEHOLDS:
        name, hand = each.name, by_hand[each.name]
        view = await found.views.get(f"agreements/{name}")
        moved = sum(
            move["shares"]
            for fact in ledgers.named("OwnershipTransferred")
            if fact["agreement"] == name
            for move in fact["moves"]
        )
        accrued = sum(
            fact["amount_stroops"]
            for fact in ledgers.named("ReturnAccrued")
            if fact["agreement"] == name
        )
        returned = sum(
            move["amount_stroops"]
            for fact in _settlements(ledgers)
            if fact["agreement"] == name
            for move in fact["returns"]
        )
        shares = {"streams": moved, "views": view["own_shares"], "by hand": hand.own_shares}
        figures += [
            Figure(f"shares of {name}", {way: f"{n:,}" for way, n in shares.items()}),
            Figure(
                f"return of {name}'s part",
                {"streams": money(accrued), "by hand": money(hand.accrued_stroops)},
            ),
            Figure(
                f"return that {name} paid",
                {"streams": money(returned), "by hand": money(hand.returned_stroops)},
            ),
        ]
    (system,) = [row for row in await found.views.rows("ownership") if row["system"] == own.SYSTEM]
    viewed = {row["member"]: row["shares"] for row in system["title"]}
    streams = _title(ledgers)
    for member, owns in sorted(title.items()):
        ways = {"streams": streams[member], "views": viewed.get(member, 0), "by hand": owns}
        figures.append(Figure(f"title of {member}", {way: f"{n:,}" for way, n in ways.items()}))
    owned = [fact["holding"] for fact in ledgers.named("HoldingOwned")]
    anna = own.ANNA.holding
    figures.append(Figure("owned", {"streams": ", ".join(owned), "script": anna}))
    return figures


def _title(ledgers: Ledgers) -> dict[str, int]:
    title: dict[str, int] = defaultdict(int)
    for accepted in ledgers.named("RaiseAccepted"):
        for move in accepted["moves"]:
            title[move["member"]] += move["shares"]
    for moved in ledgers.named("OwnershipTransferred"):
        for move in moved["moves"]:
            title[move["member"]] -= move["shares"]
    return title


def _late_figures(ledgers: Ledgers) -> list[Figure]:
    """On which day each step was taken, and that no other one was."""
    wanted = {
        "ReminderSent": [REMINDED_ON],
        "AlertRaised": [ALERTED_ON],
        "SternNoticeSent": [],
        "EscalationReached": [GRACE_ENDS_ON],
        "SupplyDiverted": [GRACE_ENDS_ON],
        "SupplyDisconnected": [],
        "FirstLossCovered": [],
        "SupplyRestored": [own.SCRIPT.ben_cures_on],
    }
    figures = []
    for name, days in wanted.items():
        taken = [day_of(fact["time"]) for fact in ledgers.of(name)]
        ways = {"streams": taken, "script": days}
        words = {way: ", ".join(f"day {n}" for n in of) or "never" for way, of in ways.items()}
        figures.append(Figure(name, words))
    return figures


async def _grid_figures(found: Found) -> list[Figure]:
    sold = found.ledgers.named("GridEnergySold")
    season, price = found.season, own.FEED_IN.price_stroops_per_kwh
    assert price is not None
    begin, end = (
        int(midnight_of(day).timestamp()) for day in (GRACE_ENDS_ON, own.SCRIPT.ben_cures_on)
    )
    by_hand_wh = 0
    for place, at in enumerate(season.instants):
        if begin <= at and at + STEP_S <= end:
            units = {each.name: each.units_ppm for each in own.HOUSEHOLDS}
            entitled = shared_out(season.generated_wh[place], units)
            lacking = max(0, season.anna_wh[place] - entitled["anna"])
            by_hand_wh += entitled["ben"] - min(entitled["ben"], lacking)
    energy_wh = sum(fact["energy_wh"] for fact in sold)
    owed = sum(fact["amount_stroops"] for fact in sold)
    received = sum(fact["amount_stroops"] for fact in found.ledgers.named("GridProceedsReceived"))
    in_words = {"streams": kwh(energy_wh), "by hand": kwh(by_hand_wh)}
    return [
        Figure("sold to the grid for Ben", in_words),
        Figure("what the grid company paid", {"owed": money(owed), "received": money(received)}),
    ]


async def _money_figures(found: Found) -> list[Figure]:
    """Money of every member: what the streams moved, and what the views say."""
    wallets = wallets_of(found.ledgers)
    figures = []
    for member in own.ROLES:
        answer = await found.views.get(f"accounts/wallet:{member}")
        viewed = sum(
            each["balance"] for each in answer["data"] if each["asset"] == f"U:{own.ASSET}"
        )
        ways = {"streams": money(wallets.get(member, 0)), "views": money(viewed)}
        figures.append(Figure(f"wallet of {member}", ways))
    return figures


_WALLETS = (
    ("FundsDeposited", "member", 1),
    ("InvestmentMade", "investor", -1),
    ("ContractorPaid", "contractor", 1),
    ("CoverDeposited", "guarantor", -1),
    ("CoverReleased", "guarantor", 1),
    ("GridProceedsReceived", "offtaker", -1),
    ("CreditRefunded", "member", 1),
    ("PaymentSettled", "payer", -1),
)
"""Facts that change one wallet by their amount: whose, and in which direction."""


def wallets_of(ledgers: Ledgers) -> dict[str, int]:
    """Add up every wallet from what the facts say, without the rules' postings."""
    wallet: dict[str, int] = defaultdict(int)
    for name, member, sign in _WALLETS:
        for fact in ledgers.named(name):
            wallet[fact[member]] += sign * fact["amount_stroops"]
    for fact in _settlements(ledgers):
        for move in (*fact["returns"], *fact["principal"]):
            wallet[move["member"]] += move["amount_stroops"]
        for part in fact["cleared"]:
            if part["into"] == "wallet":
                wallet[part["payee"]] += part["amount_stroops"]
    refunds = [each for fact in ledgers.named("CreditNoteSettled") for each in fact["refunds"]]
    given = [(each, each["refunded_stroops"]) for each in refunds]
    given += [(each, each["amount_stroops"]) for each in ledgers.named("RefundReceived")]
    for refund, amount in given:
        if refund["into"] == "wallet":
            wallet[refund["payee"]] -= amount
    return wallet
