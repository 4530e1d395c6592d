"""Postings of supply facts. Pure.

A guarantor who owned a part before pays that part to himself: his cover becomes money of his
wallet, and claim and title stay where they are.

Source: domain rules, section 11.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from libs.events.fact import Fact
from libs.events.supply import FirstLossCovered, GridEnergySold, GridProceedsReceived
from libs.rules.posting import Posting
from libs.rules.trade_postings import ENERGY


def _first_loss_covered(fact: FirstLossCovered) -> Iterable[Posting]:
    money, claims, title = f"U:{fact.asset}", f"C:{fact.asset}", f"T:{fact.system}"
    cover = f"cover:{fact.system}:{fact.guarantor}"
    for paid in fact.returns:
        yield Posting(money, cover, f"wallet:{paid.member}", paid.amount_stroops)
        if paid.member != fact.guarantor:
            owed = f"return_to:{fact.agreement}"
            yield Posting(
                claims, f"{owed}:{paid.member}", f"{owed}:{fact.guarantor}", paid.amount_stroops
            )
    for moved in fact.principal:
        yield Posting(money, cover, f"wallet:{moved.member}", moved.shares)
        if moved.member != fact.guarantor:
            place = f"title:{fact.system}"
            yield Posting(
                title, f"{place}:{moved.member}", f"{place}:{fact.guarantor}", moved.shares
            )


def _grid_energy_sold(fact: GridEnergySold) -> Iterable[Posting]:
    yield Posting(ENERGY, f"kwh:{fact.member}", f"retired:{fact.member}:grid", fact.energy_wh)
    if fact.amount_stroops:
        yield Posting(
            f"C:{fact.asset}",
            f"grid_due:{fact.offtaker}",
            f"grid_for:{fact.agreement}",
            fact.amount_stroops,
        )


def _grid_proceeds_received(fact: GridProceedsReceived) -> Iterable[Posting]:
    amount = fact.amount_stroops
    yield Posting(f"U:{fact.asset}", f"wallet:{fact.offtaker}", f"credit:{fact.agreement}", amount)
    yield Posting(
        f"C:{fact.asset}", f"grid_for:{fact.agreement}", f"grid_due:{fact.offtaker}", amount
    )


SUPPLY_RULES: Mapping[type[Fact], Callable[[Any], Iterable[Posting]]] = {
    FirstLossCovered: _first_loss_covered,
    GridEnergySold: _grid_energy_sold,
    GridProceedsReceived: _grid_proceeds_received,
}
"""What each of these facts posts."""
