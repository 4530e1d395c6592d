"""The rules of systems: proposed, approved, funded, accepted, held. Pure.

First depth: one raise per system, no stages, contractors or cover; the systems issue brings those.

Source: domain rules, sections 1 and 7.
"""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from libs.events.books import (
    INVESTORS_MAX,
    HoldingOpened,
    InvestmentMade,
    RaiseAccepted,
    SystemApproved,
    SystemProposed,
    TitleMove,
)
from libs.events.commands import AcceptRaise, ApproveSystem, Invest, OpenHolding, ProposeSystem
from libs.events.envelope import Draft
from libs.events.fact import Fact
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.postings import Books
from libs.runtime.failures import NotFound, Refused
from services.ledger.checks import check_name

HOUR_S = 3_600
"""Seconds in an hour; a rating interval divides it."""


@dataclass(slots=True)
class System:
    """A system as the book knows it."""

    proposed: SystemProposed
    approved: bool = False
    accepted: bool = False
    investors: list[str] = field(default_factory=list)
    held_units: int = 0


class Systems:
    """Systems and holdings of one book."""

    def __init__(self, authority: Authority, books: Books) -> None:
        self._authority, self._books = authority, books
        self.systems: dict[str, System] = {}
        self.holdings: dict[str, HoldingOpened] = {}

    def evolve(self, fact: Fact) -> None:
        """Fold a fact of the own stream."""
        match fact:
            case SystemProposed():
                self.systems[fact.system] = System(fact)
            case SystemApproved():
                self.systems[fact.system].approved = True
            case InvestmentMade():
                investors = self.systems[fact.system].investors
                if fact.investor not in investors:
                    investors.append(fact.investor)
            case RaiseAccepted():
                self.systems[fact.system].accepted = True
            case HoldingOpened():
                self.holdings[fact.holding] = fact
                self.systems[fact.system].held_units += fact.units
            case _:
                pass

    def dump(self) -> Dumped:
        """Give systems, which change in place and so at once, and holdings for a snapshot."""
        holdings = tuple(self.holdings.values())
        return {
            "systems": [
                [each.proposed.model_dump_json(), each.approved, each.accepted, *each.investors]
                for each in self.systems.values()
            ],
            "holdings": (each.model_dump_json() for each in holdings),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for text, approved, accepted, *investors in dumped["systems"]:
            proposed = SystemProposed.model_validate_json(text)
            self.systems[proposed.system] = System(proposed, approved, accepted, investors)
        for text in dumped["holdings"]:
            self.evolve(HoldingOpened.model_validate_json(text))

    def _system(self, system: str) -> System:
        found = self.systems.get(system)
        if found is None:
            raise NotFound("unknown-system", f"there is no system {system}", field="body.system")
        return found

    def propose(self, order: Order) -> Draft:
        """A developer or originator proposes a system at a price."""
        body = order.body(ProposeSystem)
        if not {"developer", "originator"} & order.signer.roles:
            raise Refused("wrong-role", "only a developer or originator proposes", field="member")
        check_name(body.system, "body.system")
        if body.system in self.systems:
            raise Refused("system-exists", f"{body.system} is proposed", field="body.system")
        try:
            ZoneInfo(body.time_zone)
        except (ValueError, KeyError, OSError) as error:
            raise Refused(
                "unknown-time-zone", f"no time zone {body.time_zone}", field="body.time_zone"
            ) from error
        if HOUR_S % body.rating_interval_s:
            raise Refused(
                "rating-interval", "it must divide an hour", field="body.rating_interval_s"
            )
        if body.terms.return_ppm_year:
            raise Refused(
                "return-not-accrued",
                "this release accrues no return: return_ppm_year must be 0",
                field="body.terms.return_ppm_year",
            )
        if body.terms.minimum_payment_stroops:
            raise Refused(
                "minimum-payment-not-billed",
                "this release bills no minimum payment: minimum_payment_stroops must be 0",
                field="body.terms.minimum_payment_stroops",
            )
        fact = SystemProposed(
            system=body.system,
            proposer=order.signer.member,
            asset=body.asset,
            price_stroops=body.price_stroops,
            nameplate_w=body.nameplate_w,
            site=body.site,
            time_zone=body.time_zone,
            rating_interval_s=body.rating_interval_s,
            terms=body.terms,
            command=order.text,
        )
        return Draft(body.system, fact, f"{order.id}.system", order.time)

    def approve(self, order: Order) -> Draft:
        """The approver lets it raise money; he starts with all units."""
        order.require("approver")
        system = self._system(order.body(ApproveSystem).system)
        if system.approved:
            raise Refused("already-approved", "it is approved already", field="body.system")
        proposed = system.proposed
        fact = SystemApproved(
            system=proposed.system, shares=proposed.price_stroops, command=order.text
        )
        return Draft(proposed.system, fact, f"{order.id}.approved", order.time)

    def invest(self, order: Order) -> Draft:
        """An investor reserves units; his money goes into escrow."""
        order.require("investor")
        body = order.body(Invest)
        system = self._system(body.system)
        proposed, investor = system.proposed, order.signer.member
        if not system.approved or system.accepted:
            raise Refused("raise-not-open", f"{body.system} raises no money", field="body.system")
        if body.terms != proposed.terms:
            raise Refused("other-terms", "these are not the offered terms", field="body.terms")
        left = self._books.balance(f"T:{body.system}", f"approver:{body.system}")
        if body.amount_stroops > left:
            raise Refused(
                "more-than-left", f"only {left} units are left", field="body.amount_stroops"
            )
        free = self._books.balance(f"U:{proposed.asset}", f"wallet:{investor}")
        if body.amount_stroops > free:
            raise Refused(
                "insufficient-funds", f"the wallet holds {free}", field="body.amount_stroops"
            )
        if investor not in system.investors and len(system.investors) >= INVESTORS_MAX:
            raise Refused("too-many-investors", f"at most {INVESTORS_MAX}", field="member")
        fact = InvestmentMade(
            investment=order.id,
            system=body.system,
            investor=investor,
            asset=proposed.asset,
            amount_stroops=body.amount_stroops,
            terms=body.terms,
            command=order.text,
        )
        return Draft(body.system, fact, f"{order.id}.investment", order.time)

    def accept(self, order: Order) -> Draft:
        """The recipient accepts a full raise: exact close, cash raised = price."""
        order.require("recipient")
        system = self._system(order.body(AcceptRaise).system)
        proposed = system.proposed
        if not system.approved or system.accepted:
            raise Refused("raise-not-open", "there is no open raise", field="body.system")
        left = self._books.balance(f"T:{proposed.system}", f"approver:{proposed.system}")
        if left:
            raise Refused("raise-not-full", f"{left} units are not reserved", field="body.system")
        title = f"T:{proposed.system}"
        moves = tuple(
            TitleMove(
                member=investor,
                shares=self._books.balance(title, f"reserved:{proposed.system}:{investor}"),
            )
            for investor in sorted(system.investors)
        )
        fact = RaiseAccepted(
            system=proposed.system,
            recipient=order.signer.member,
            asset=proposed.asset,
            moves=moves,
            command=order.text,
        )
        return Draft(proposed.system, fact, f"{order.id}.accepted", order.time)

    def open_holding(self, order: Order) -> Draft:
        """The approver gives a recipient the right to use a part of a built system."""
        order.require("approver")
        body = order.body(OpenHolding)
        system = self._system(body.system)
        if not system.accepted:
            raise Refused("raise-not-accepted", "its raise is not accepted", field="body.system")
        check_name(body.holding, "body.holding")
        if body.holding in self.holdings:
            raise Refused("holding-exists", f"{body.holding} is open", field="body.holding")
        recipient = self._authority.member(body.recipient)
        if recipient is None or "recipient" not in recipient.roles:
            raise Refused("no-recipient", f"{body.recipient} is none", field="body.recipient")
        left = system.proposed.price_stroops - system.held_units
        if body.units > left:
            raise Refused("more-than-left", f"only {left} units are left", field="body.units")
        fact = HoldingOpened(
            holding=body.holding,
            system=body.system,
            recipient=body.recipient,
            units=body.units,
            command=order.text,
        )
        return Draft(body.holding, fact, f"{order.id}.holding", order.time)
