"""Postings of the energy network: tokens, trades, the market, transfers.

The asset of kWh tokens is `W`: they never leave their book, so the book needs no name here. What is
held has an account of its own, `hold:<member>:<kind>.<id>`, until it is posted or free again.

Source: domain rules, section 11; decision 0003.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from libs.events.fact import Fact
from libs.events.trading import (
    EnergyLeg,
    EnergyMinted,
    EnergyRetired,
    EnergyShortfallBooked,
    EnergyTransferred,
    Leg,
    MeterEnergy,
    OrderPlaced,
    OrderWithdrawn,
    TradeCancelled,
    TradeCreated,
    TradeExecuted,
    TradeExpired,
    TransferPosted,
    TransferReserved,
    TransferReversed,
    TransferVoided,
)
from libs.rules.posting import Posting

ENERGY: Final = "W"
"""The asset of a book's kWh tokens, in Wh."""

ISSUED_BY_APPROVER: Final = "issued:approver"
"""Tokens that stand on an approver's word: explicit mints and opening balances."""


def trade_hold(member: str, trade: str) -> str:
    """Account of the energy that a trade holds."""
    return f"hold:{member}:trade.{trade}"


def order_hold(member: str, order: str) -> str:
    """Account of the energy or money that an order holds."""
    return f"hold:{member}:order.{order}"


def transfer_hold(member: str, transfer: str) -> str:
    """Account of what a reserved transfer holds."""
    return f"hold:{member}:transfer.{transfer}"


def _pairs(
    meters: Sequence[MeterEnergy], first: tuple[str, int], rest: str
) -> Iterator[tuple[str, str, int]]:
    """Pair the meters' energy with a first account up to an amount, then with the other."""
    account, left = first
    for meter in meters:
        part = min(left, meter.energy_wh)
        left -= part
        if part:
            yield f"issued:meter:{meter.meter}", account, part
        if meter.energy_wh > part:
            yield f"issued:meter:{meter.meter}", rest, meter.energy_wh - part


def _energy_minted(fact: EnergyMinted) -> Iterable[Posting]:
    shortfall, tokens = f"shortfall:{fact.member}", f"kwh:{fact.member}"
    if fact.meters:
        for issued, account, part in _pairs(fact.meters, (shortfall, fact.served_wh), tokens):
            yield Posting(ENERGY, issued, account, part)
        return
    if fact.served_wh:
        yield Posting(ENERGY, ISSUED_BY_APPROVER, shortfall, fact.served_wh)
    if fact.energy_wh > fact.served_wh:
        yield Posting(ENERGY, ISSUED_BY_APPROVER, tokens, fact.energy_wh - fact.served_wh)


def _shortfall_booked(fact: EnergyShortfallBooked) -> Iterable[Posting]:
    tokens, shortfall = f"kwh:{fact.member}", f"shortfall:{fact.member}"
    for issued, account, part in _pairs(fact.meters, (tokens, fact.taken_wh), shortfall):
        yield Posting(ENERGY, account, issued, part)


def _energy_transferred(fact: EnergyTransferred) -> Iterable[Posting]:
    yield Posting(ENERGY, f"kwh:{fact.from_member}", f"kwh:{fact.to_member}", fact.energy_wh)


def _energy_retired(fact: EnergyRetired) -> Iterable[Posting]:
    retired = f"retired:{fact.member}:{fact.purpose}"
    yield Posting(ENERGY, f"kwh:{fact.member}", retired, fact.energy_wh)


def _trade_created(fact: TradeCreated) -> Iterable[Posting]:
    hold = trade_hold(fact.seller, fact.trade)
    yield Posting(ENERGY, f"kwh:{fact.seller}", hold, fact.energy_wh)


def _trade_executed(fact: TradeExecuted) -> Iterable[Posting]:
    energy, money = trade_hold(fact.seller, fact.trade), f"wallet:{fact.buyer}"
    if fact.offer is not None and fact.bid is not None:
        energy, money = order_hold(fact.seller, fact.offer), order_hold(fact.buyer, fact.bid)
    return (
        Posting(ENERGY, energy, f"kwh:{fact.buyer}", fact.energy_wh),
        Posting(f"U:{fact.asset}", money, f"wallet:{fact.seller}", fact.total_stroops),
    )


def _trade_ended(fact: TradeCancelled | TradeExpired) -> Iterable[Posting]:
    hold = trade_hold(fact.seller, fact.trade)
    yield Posting(ENERGY, hold, f"kwh:{fact.seller}", fact.energy_wh)


def _order_placed(fact: OrderPlaced) -> Iterable[Posting]:
    hold = order_hold(fact.member, fact.order)
    if fact.side == "offer":
        yield Posting(ENERGY, f"kwh:{fact.member}", hold, fact.energy_wh)
    else:
        yield Posting(f"U:{fact.asset}", f"wallet:{fact.member}", hold, fact.held_stroops)


def _order_withdrawn(fact: OrderWithdrawn) -> Iterable[Posting]:
    hold = order_hold(fact.member, fact.order)
    if fact.side == "offer" and fact.energy_wh:
        yield Posting(ENERGY, hold, f"kwh:{fact.member}", fact.energy_wh)
    elif fact.side == "bid" and fact.returned_stroops:
        yield Posting(f"U:{fact.asset}", hold, f"wallet:{fact.member}", fact.returned_stroops)


def _leg(leg: Leg) -> tuple[str, str, int]:
    """Asset, first word of a member's own account, and amount of a leg."""
    if isinstance(leg, EnergyLeg):
        return ENERGY, "kwh", leg.energy_wh
    return f"U:{leg.asset}", "wallet", leg.amount_stroops


def _transfer_reserved(fact: TransferReserved) -> Iterable[Posting]:
    hold = transfer_hold(fact.from_member, fact.transfer)
    for leg in fact.legs:
        asset, own, amount = _leg(leg)
        yield Posting(asset, f"{own}:{fact.from_member}", hold, amount)


def _transfer_posted(fact: TransferPosted) -> Iterable[Posting]:
    hold = transfer_hold(fact.from_member, fact.transfer)
    for leg in fact.legs:
        asset, own, amount = _leg(leg)
        source, target = f"{own}:{fact.from_member}", f"{own}:{leg.to_member}"
        if fact.is_held:
            source = hold
        if fact.from_book is not None:
            source = f"received:{fact.from_book}"
        if fact.to_book is not None:
            target = f"transit:{fact.to_book}"
        yield Posting(asset, source, target, amount)
    returned = fact.returned_stroops or fact.returned_wh
    if returned:
        asset, own, _ = _leg(fact.legs[0])
        yield Posting(asset, hold, f"{own}:{fact.from_member}", returned)


def _transfer_voided(fact: TransferVoided) -> Iterable[Posting]:
    if fact.from_book is not None:
        return  # it was held in the other book
    hold = transfer_hold(fact.from_member, fact.transfer)
    for leg in fact.legs:
        asset, own, amount = _leg(leg)
        yield Posting(asset, hold, f"{own}:{fact.from_member}", amount)


def _transfer_reversed(fact: TransferReversed) -> Iterable[Posting]:
    for leg in fact.legs:
        asset, own, amount = _leg(leg)
        yield Posting(asset, f"{own}:{leg.to_member}", f"{own}:{fact.from_member}", amount)


TRADE_RULES: Mapping[type[Fact], Callable[[Any], Iterable[Posting]]] = {
    EnergyMinted: _energy_minted,
    EnergyShortfallBooked: _shortfall_booked,
    EnergyTransferred: _energy_transferred,
    EnergyRetired: _energy_retired,
    TradeCreated: _trade_created,
    TradeExecuted: _trade_executed,
    TradeCancelled: _trade_ended,
    TradeExpired: _trade_ended,
    OrderPlaced: _order_placed,
    OrderWithdrawn: _order_withdrawn,
    TransferReserved: _transfer_reserved,
    TransferPosted: _transfer_posted,
    TransferVoided: _transfer_voided,
    TransferReversed: _transfer_reversed,
}
"""What each fact of the energy network posts; `SlotCleared` posts nothing, its trades do."""
