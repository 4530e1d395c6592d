"""Who held a holding, who was diverted, what was owned or taken back: facts of the ledger. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from libs.events.books import HoldingOpened
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import InvoiceIssued
from libs.events.supply import SupplyDiverted, SupplyRestored
from libs.events.system_commands import AcceptHolding, OfferHolding, ReclaimHolding
from libs.events.systems import (
    HoldingAccepted,
    HoldingOffered,
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
)
from libs.proof.case import Case, require, same
from libs.proof.errors import ProofFailed
from libs.proof.people import ANYBODY, APPROVER, STEP, People

F = TypeVar("F", bound=Fact)

RECIPIENT = frozenset({"recipient"})
"""Who holds and pays."""

_Change = Recorded[SupplyDiverted] | Recorded[SupplyRestored] | Recorded[HoldingReclaimed]


@dataclass(slots=True)
class Supply:
    """What happened to the holdings of a system, as far as billing knew."""

    diverted: dict[str, list[tuple[datetime, datetime | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """From when until when which holding was diverted; None: it still is."""
    reclaimed_at: dict[str, datetime] = field(default_factory=dict)
    """When which holding was taken back."""
    owned: Recorded[HoldingOwned] | None = None
    """That the holding that is billed was owned; None: it was not."""
    transfers: list[Recorded[HoldingTransferred]] = field(default_factory=list)
    """When the holding that is billed changed hands, oldest first; later than the bill too."""

    @property
    def owned_at(self) -> datetime | None:
        """When the holding that is billed was owned; None: it was not."""
        return None if self.owned is None else self.owned.envelope.time

    def is_diverted(self, holding: str, instant: int) -> bool:
        """Tell whether a holding was diverted at an instant, in seconds since 1970."""
        return any(
            since.timestamp() <= instant and (until is None or instant < until.timestamp())
            for since, until in self.diverted.get(holding, ())
        )

    def holder(self, first: str, place: int) -> str:
        """Who held the holding that is billed.

        Args:
            first: Who held it when it was opened.
            place: Facts of the ledger before this place count.
        """
        known = [each.fact.to_member for each in self.transfers if each.sequence < place]
        return known[-1] if known else first


def gather_supply(
    case: Case,
    invoice: Recorded[InvoiceIssued],
    holdings: set[str],
    billed: Recorded[HoldingOpened],
) -> Supply:
    """Find what happened to holdings.

    Args:
        case: The facts.
        invoice: The bill; what it did not know does not count.
        holdings: Every holding of the system.
        billed: The one that is billed.

    Raises:
        ProofFailed: Billing did not know one of them.
    """
    supply = Supply()
    changes: list[_Change] = [*case.all(SupplyDiverted, lambda fact: fact.holding in holdings)]
    changes += case.all(SupplyRestored, lambda fact: fact.holding in holdings)
    changes += case.all(HoldingReclaimed, lambda fact: fact.holding in holdings)
    name = billed.fact.holding
    owned = case.all(HoldingOwned, lambda fact: fact.holding == name)
    for each in (*changes, *owned):
        what = f"{each.fact.fact_name} at {each.stream} {each.sequence}"
        require(STEP, case.knew(invoice, each), f"{what} was not known when the bill was issued")
        require(STEP, each.envelope.key == each.fact.holding, f"{what} stands under another key")
    require(STEP, len(owned) <= 1, f"{name} was owned twice")
    supply.owned = owned[0] if owned else None
    for change in sorted(changes, key=lambda each: each.sequence):
        _fold(supply, change)
    supply.transfers = sorted(
        case.all(HoldingTransferred, lambda fact: fact.holding == name),
        key=lambda each: each.sequence,
    )
    for moved in supply.transfers:
        what = f"the transfer at {moved.stream} {moved.sequence}"
        require(STEP, moved.stream == billed.stream, f"{what} stands in another book")
    return supply


def _fold(supply: Supply, change: _Change) -> None:
    fact, at = change.fact, change.envelope.time
    stretches = supply.diverted[fact.holding]
    if isinstance(fact, SupplyDiverted):
        stretches.append((at, None))
        return
    if stretches and stretches[-1][1] is None:
        stretches[-1] = (stretches[-1][0], at)
    if isinstance(fact, HoldingReclaimed):
        supply.reclaimed_at[fact.holding] = at


def check_supply(case: Case, people: People, supply: Supply, first: str) -> None:
    """Make sure that whoever gave, took or took back a holding signed that.

    Args:
        case: The facts.
        people: Judges the commands.
        supply: What happened.
        first: Who held the holding that is billed when it was opened.

    Raises:
        ProofFailed: A signature is missing or wrong, or the holder was another.
    """
    ended = supply.reclaimed_at
    for reclaimed in case.glance(HoldingReclaimed, lambda fact: fact.holding in ended):
        people.signed(reclaimed, reclaimed.fact.command, ReclaimHolding, APPROVER)
    holder = first
    for moved in supply.transfers:
        fact, what = moved.fact, f"the transfer at {moved.stream} {moved.sequence}"
        require(STEP, fact.from_member == holder, f"{what}: {holder} held it")
        holder = fact.to_member
        offered, accepted = _signed_transfer(case, moved)
        gave = people.signed(offered, offered.fact.command, OfferHolding, ANYBODY)
        took = people.signed(accepted, accepted.fact.command, AcceptHolding, RECIPIENT)
        pairs = (
            ("offered by", gave.member, fact.from_member),
            ("offered by", offered.fact.from_member, fact.from_member),
            ("offered to", offered.fact.to_member, fact.to_member),
            ("accepted from", accepted.fact.from_member, fact.from_member),
            ("accepted by", accepted.fact.to_member, fact.to_member),
            ("accepted by", took.member, fact.to_member),
            ("in its time", moved.envelope.time >= accepted.fact.effective_at, True),
        )
        same(STEP, what, pairs)


def _signed_transfer(
    case: Case, moved: Recorded[HoldingTransferred]
) -> tuple[Recorded[HoldingOffered], Recorded[HoldingAccepted]]:
    """The two facts with whose signatures a holding changed hands."""
    holding = moved.fact.holding
    accepted = latest(case.glance(HoldingAccepted, lambda fact: fact.holding == holding), moved)
    if accepted is None:
        raise ProofFailed(STEP, f"nobody accepted {holding} before it moved")
    offered = latest(case.glance(HoldingOffered, lambda fact: fact.holding == holding), accepted)
    if offered is None:
        raise ProofFailed(STEP, f"nobody offered {holding} before it was accepted")
    case.need(accepted)
    case.need(offered)
    return offered, accepted


def latest(found: Sequence[Recorded[F]], later: Recorded[Fact]) -> Recorded[F] | None:
    """The newest of some facts that stands before another fact, in the same stream."""
    before = (
        each for each in found if each.stream == later.stream and each.sequence < later.sequence
    )
    return max(before, key=lambda each: each.sequence, default=None)
