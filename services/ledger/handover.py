"""The rules by which title and holdings change hands: offered by one, accepted by the other. Pure.

Title of an investor moves at once, after return has accrued on what it was before. A holding moves
whole (own title, debt, invoices, clock) when its billing period ends. Own title never moves alone.

Source: domain rules, section 7; docs/decisions/0005.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.quantities import as_date
from libs.events.system_commands import AcceptHolding, AcceptShares, OfferHolding, OfferShares
from libs.events.systems import (
    HoldingAccepted,
    HoldingOffered,
    HoldingReclaimed,
    HoldingTransferred,
    SharesOffered,
    SharesTransferred,
)
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.periods import local_day, local_midnight, period_of
from libs.rules.postings import Books
from libs.runtime.failures import NotFound, Refused
from services.ledger.agreements import Agreements
from services.ledger.checks import check_expiry, check_id_unused, check_money, check_party
from services.ledger.deadlines import Deadlines
from services.ledger.moment import Moment
from services.ledger.returns import Returns
from services.ledger.system_state import Holding
from services.ledger.systems import Systems

OFFERS_MAX: Final = 100
"""Most offers of title by one member that have not expired."""

TRANSFERS_MAX: Final = 50
"""Most holdings that change hands in one decision."""


class Handover:
    """Offers of one book, and holdings that are about to move."""

    def __init__(
        self,
        *,
        authority: Authority,
        books: Books,
        moment: Moment,
        systems: Systems,
        agreements: Agreements,
        returns: Returns,
    ) -> None:
        """Begin with no offer.

        Args:
            authority: Members and time.
            books: The balances.
            moment: The fact by which a holding moves.
            systems: Systems and holdings.
            agreements: Whose periods decide when a holding moves.
            returns: What accrues before title moves.
        """
        self._authority, self._books, self._moment = authority, books, moment
        self._systems, self._agreements, self._returns = systems, agreements, returns
        self._offers: dict[str, SharesOffered] = {}
        self._of_members: dict[str, dict[str, None]] = defaultdict(dict)
        self._offered: dict[str, HoldingOffered] = {}
        self._moving: dict[str, HoldingAccepted] = {}
        self._deadlines = Deadlines()
        self._folds: dict[type[Fact], Callable[[Any], None]] = {
            SharesOffered: self._shares_offered,
            SharesTransferred: self._shares_transferred,
            HoldingOffered: self._holding_offered,
            HoldingAccepted: self._holding_accepted,
            HoldingTransferred: self._ended,
            HoldingReclaimed: self._ended,
        }

    @property
    def facts(self) -> Collection[type[Fact]]:
        """What `evolve` takes note of."""
        return self._folds.keys()

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream."""
        if type(recorded.fact) is SharesOffered and own:
            self._forget(recorded.fact.from_member, recorded.envelope.time)
        fold = self._folds.get(type(recorded.fact)) if own else None
        if fold is not None:
            fold(recorded.fact)

    def _forget(self, member: str, now: datetime) -> None:
        """Drop what a member offered and nobody accepted in time."""
        mine = self._of_members[member]
        for offer in [each for each in mine if self._offers[each].expires_at <= now]:
            del self._offers[offer], mine[offer]

    def _shares_offered(self, fact: SharesOffered) -> None:
        self._offers[fact.offer] = fact
        self._of_members[fact.from_member][fact.offer] = None

    def _shares_transferred(self, fact: SharesTransferred) -> None:
        self._offers.pop(fact.offer, None)
        self._of_members[fact.from_member].pop(fact.offer, None)

    def _holding_offered(self, fact: HoldingOffered) -> None:
        """Fold an offer; one to the holder himself takes back what he offered."""
        if fact.to_member == fact.from_member:
            self._offered.pop(fact.holding, None)
        else:
            self._offered[fact.holding] = fact

    def _holding_accepted(self, fact: HoldingAccepted) -> None:
        self._offered.pop(fact.holding, None)
        self._moving[fact.holding] = fact
        self._deadlines.add(fact.effective_at, fact.holding)

    def _ended(self, fact: HoldingTransferred | HoldingReclaimed) -> None:
        self._offered.pop(fact.holding, None)
        moving = self._moving.pop(fact.holding, None)
        if moving is not None:
            self._deadlines.remove(moving.effective_at, fact.holding)

    def dump(self) -> Dumped:
        """Give the open offers and what is about to move, for a snapshot."""
        offers, offered = tuple(self._offers.values()), tuple(self._offered.values())
        moving = tuple(self._moving.values())
        return {
            "offers": (each.model_dump_json() for each in offers),
            "offered": (each.model_dump_json() for each in offered),
            "moving": (each.model_dump_json() for each in moving),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for text in dumped["offers"]:
            self._shares_offered(SharesOffered.model_validate_json(text))
        for text in dumped["offered"]:
            self._holding_offered(HoldingOffered.model_validate_json(text))
        for text in dumped["moving"]:
            self._holding_accepted(HoldingAccepted.model_validate_json(text))

    def due(self) -> Sequence[Draft]:
        """The holdings whose period has ended since they were accepted, some at once."""
        return [
            self._transfer(self._moving[holding])
            for holding in self._deadlines.due(self._moment.now, TRANSFERS_MAX)
        ]

    def _transfer(self, moving: HoldingAccepted) -> Draft:
        assert self._moment.now is not None, "nothing moves without a time"
        opened = self._agreements.of_holding(moving.holding)
        fact = HoldingTransferred(
            holding=moving.holding,
            from_member=moving.from_member,
            to_member=moving.to_member,
            agreement=None if opened is None else opened.agreement,
        )
        at = int(moving.effective_at.timestamp())
        fact_id = f"holding:{moving.holding}.moved.{at}"
        return Draft(moving.holding, fact, fact_id, self._moment.now, self._moment.cause)

    def offer_shares(self, order: Order) -> Sequence[Draft]:
        """An investor offers title to another member."""
        body, member = order.body(OfferShares), order.signer.member
        system = self._systems.find(body.system)
        check_id_unused(order.id, self._offers)
        check_party(self._authority, body.to_member, "body.to_member")
        if body.to_member == member:
            raise Refused("same-party", "nobody trades with himself", field="body.to_member")
        check_expiry(body.expires_at, order.time, "body.expires_at")
        self._check_shares(body.system, member, body.shares, "body.shares")
        mine = self._of_members.get(member, {})
        if sum(self._offers[each].expires_at > order.time for each in mine) >= OFFERS_MAX:
            text = f"at most {OFFERS_MAX} of one member are open"
            raise Refused("too-many-offers", text, field="member")
        fact = SharesOffered(
            offer=order.id,
            system=body.system,
            from_member=member,
            to_member=body.to_member,
            asset=system.proposed.asset,
            shares=body.shares,
            price_stroops=body.price_stroops,
            expires_at=body.expires_at,
            command=order.text,
        )
        return (Draft(body.system, fact, f"{order.id}.offer", order.time),)

    def _check_shares(self, system: str, member: str, shares: int, field: str) -> None:
        """Refuse more title than a member has free: his own in a holding is locked in it."""
        free = self._books.balance(f"T:{system}", f"title:{system}:{member}")
        if shares <= free:
            return
        own = 0
        for holding in self._systems.holdings_of(system):
            opened = self._agreements.of_holding(holding.holding)
            if opened is not None and holding.recipient == member:
                own += self._agreements.own_shares(opened)
        if shares <= free + own:
            text = f"{free} shares are free; own title moves only with its holding, whole"
            raise Refused("own-title-locked", text, field=field)
        text = f"{member} has {free} shares of title in {system}"
        raise Refused("insufficient-shares", text, field=field)

    def accept_shares(self, order: Order) -> Sequence[Draft]:
        """The other member pays and gets the title, after return accrued on the title of before."""
        name, member = order.body(AcceptShares).offer, order.signer.member
        offer = self._offers.get(name)
        if offer is None:
            text = f"there is no open offer {name}"
            raise NotFound("offer-unknown", text, field="body.offer")
        if offer.to_member != member:
            raise Refused("not-your-offer", f"{offer.to_member} may accept it", field="member")
        if order.time >= offer.expires_at:
            raise Refused("offer-expired", "it could be accepted before", field="body.offer")
        check_party(self._authority, offer.from_member, "body.offer")
        self._check_shares(offer.system, offer.from_member, offer.shares, "body.offer")
        check_money(self._books, member, offer.asset, offer.price_stroops, "body.offer")
        self._systems.check_owner(self._systems[offer.system], member)
        fact = SharesTransferred(
            offer=name,
            system=offer.system,
            from_member=offer.from_member,
            to_member=member,
            asset=offer.asset,
            shares=offer.shares,
            price_stroops=offer.price_stroops,
            command=order.text,
        )
        accrued = self._returns.accrue_system(offer.system, order.time)
        return (*accrued, Draft(offer.system, fact, f"{order.id}.shares", order.time))

    def _holding(self, name: str) -> Holding:
        """A holding that is there and does not move already."""
        holding = self._systems.holdings.get(name)
        if holding is None or holding.status == "RECLAIMED":
            raise NotFound("unknown-holding", f"there is no holding {name}", field="body.holding")
        if name in self._moving:
            text = f"it moves to {self._moving[name].to_member} when its period ends"
            raise Refused("holding-moving", text, field="body.holding")
        return holding

    def offer_holding(self, order: Order) -> Sequence[Draft]:
        """A holder offers his holding; an offer to himself takes it back."""
        body, member = order.body(OfferHolding), order.signer.member
        holding = self._holding(body.holding)
        if holding.recipient != member:
            raise Refused("not-your-holding", f"{holding.recipient} holds it", field="member")
        if body.to_member != member:
            check_party(self._authority, body.to_member, "body.to_member")
            receiver = self._authority.member(body.to_member)
            if receiver is None or "recipient" not in receiver.roles:
                raise Refused("no-recipient", f"{body.to_member} is none", field="body.to_member")
        elif body.holding not in self._offered:
            raise Refused("offer-unknown", "nothing was offered", field="body.holding")
        fact = HoldingOffered(
            holding=body.holding, from_member=member, to_member=body.to_member, command=order.text
        )
        return (Draft(body.holding, fact, f"{order.id}.offer", order.time),)

    def accept_holding(self, order: Order) -> Sequence[Draft]:
        """A recipient accepts a holding with its debt; it is his when the period ends."""
        name, member = order.body(AcceptHolding).holding, order.signer.member
        holding = self._holding(name)
        offered = self._offered.get(name)
        if offered is None:
            raise NotFound("offer-unknown", f"{name} is not offered", field="body.holding")
        if offered.to_member != member:
            raise Refused("not-your-offer", f"{offered.to_member} may accept it", field="member")
        order.require("recipient")
        check_party(self._authority, offered.from_member, "body.holding")
        fact = HoldingAccepted(
            holding=name,
            from_member=offered.from_member,
            to_member=member,
            effective_at=self._period_end(holding, order.time),
            command=order.text,
        )
        return (Draft(name, fact, f"{order.id}.accepted", order.time),)

    def _period_end(self, holding: Holding, now: datetime) -> datetime:
        """The end of the running billing period; without an agreement, of the local day."""
        opened = self._agreements.of_holding(holding.holding)
        if opened is None:
            zone = self._systems[holding.system].proposed.time_zone
            return local_midnight(local_day(now, zone) + timedelta(days=1), zone)
        first_day = as_date(opened.first_day)
        return period_of(now, opened.period, first_day, opened.time_zone).until_at
