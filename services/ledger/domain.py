"""The rules of a book: one `decide` before all that a book does. Pure.

The own facts fold into the balances; billing's facts and those of other books fold into parts of
their own, so that the order in which the streams arrive cannot matter.

Laws (domain rules, section 10), and where each is kept:

- Per asset, debits equal credits: by construction, a posting has one amount for both sides.
- No account crosses its normal side: checked at every fact, in `Books.post`; a breach ends us.
- Held plus free = balance: by construction, what is held has accounts of its own (`hold:`), and
  only a posting moves it; so the energy of a trade cannot be promised twice.
- Units of title = units of the system: by construction, `T` is issued once, at the price.
- Units of holdings at most those of the system: refused in `systems.py`.
- Nothing is cleared beyond what was billed: checked in `repayment.py`.
- Nobody answers a transfer that we do not hold for him: checked in `between.py`.
- No balance leaves what a fact can say: refused by `room.py`, before it could happen.
- Generated = own use + used by co-holders + surplus: checked in `minting.py`, at every interval.
- Minted - shortfall <= corrected surplus: by construction, `minting.py` decides their difference.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from libs.events.books import FundsDeposited
from libs.events.command import Body
from libs.events.commands import (
    AcceptRaise,
    ApproveSystem,
    DepositFunds,
    Invest,
    OpenHolding,
    Pay,
    ProposeSystem,
)
from libs.events.envelope import Draft, Recorded
from libs.events.fact import LATEST, Fact
from libs.events.subjects import BILLING, family_of
from libs.events.trade_commands import (
    CancelTrade,
    CreateTrade,
    ExecuteTrade,
    MintEnergy,
    PlaceOrder,
    PostTransfer,
    ReserveTransfer,
    RetireEnergy,
    ReverseTransfer,
    TransferEnergy,
    TransferFunds,
    VoidTransfer,
    WithdrawOrder,
)
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumpable, Dumped, Loaded, dump_parts, load_parts
from libs.rules.postings import Books, postings
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import BrokenLaw, Refused
from services.ledger.between import Between
from services.ledger.energy import Energy
from services.ledger.market import Market
from services.ledger.minting import Minting
from services.ledger.moment import Moment
from services.ledger.repayment import Repayment
from services.ledger.room import Room
from services.ledger.systems import Systems
from services.ledger.taking import Taking
from services.ledger.trading import Trading
from services.ledger.transfers import Transfers


class Follower(Protocol):
    """A part of the rules that folds facts of any stream, and from which facts may follow."""

    @property
    def facts(self) -> Collection[type[Fact]]:
        """What `evolve` takes note of; it is not told of other facts."""

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact; `own` tells whether it stands in the own stream. It never refuses."""

    def due(self) -> Sequence[Draft]:
        """The next decision that follows from the state alone; empty when nothing is due."""


class Book:
    """State and rules of LEDGER_<book>."""

    def __init__(
        self,
        *,
        authority: Authority,
        timekeeper: Timekeeper,
        stream: str,
        others: Sequence[str] = (),
    ) -> None:
        """Begin with empty books.

        Args:
            authority: Members, time and accepted commands.
            timekeeper: Which time was reached.
            stream: The own stream.
            others: The other books of the installation, whose transfers to this one are followed.
        """
        self.authority, self.timekeeper = authority, timekeeper
        self._stream, book = stream, family_of(stream)[1]
        self.books, self.room, self.moment = Books(), Room(), Moment()
        self.systems = Systems(authority, self.books)
        self.repayment = Repayment(authority, self.books, self.systems)
        self.energy = Energy(authority=authority, books=self.books, room=self.room, book=book)
        self.trading = Trading(authority=authority, books=self.books, moment=self.moment)
        self.transfers = Transfers(
            authority=authority, books=self.books, moment=self.moment, book=book, others=others
        )
        self.between = Between(
            authority=authority,
            books=self.books,
            room=self.room,
            moment=self.moment,
            transfers=self.transfers,
            book=book,
        )
        self.market = Market(books=self.books, timekeeper=timekeeper, moment=self.moment)
        taking = Taking(books=self.books, room=self.room, trading=self.trading, market=self.market)
        self.minting = Minting(timekeeper=timekeeper, taking=taking)
        self._followers: tuple[Follower, ...] = (
            self.energy,
            self.minting,
            self.trading,
            self.transfers,
            self.between,
            self.market,
        )
        self._decisions = self._table()
        # Who is told of which fact, found once: to ask all of them each time takes 5 us a fact.
        self._told: dict[type[Fact], tuple[Follower, ...]] = {
            kind: tuple(follower for follower in self._followers if kind in follower.facts)
            for kind in LATEST.values()
        }

    def _table(self) -> dict[type[Body], Callable[[Order], Sequence[Draft]]]:
        """Who decides which command."""
        return {
            DepositFunds: lambda order: (self._deposit(order),),
            ProposeSystem: lambda order: (self.systems.propose(order),),
            ApproveSystem: lambda order: (self.systems.approve(order),),
            Invest: lambda order: (self.systems.invest(order),),
            AcceptRaise: lambda order: (self.systems.accept(order),),
            OpenHolding: lambda order: (self.systems.open_holding(order),),
            Pay: self.repayment.pay,
            MintEnergy: self.energy.mint,
            TransferEnergy: self.energy.transfer,
            RetireEnergy: self.energy.retire,
            CreateTrade: self.trading.create,
            ExecuteTrade: self.trading.execute,
            CancelTrade: self.trading.cancel,
            TransferFunds: self.transfers.transfer,
            ReserveTransfer: self.transfers.reserve,
            PostTransfer: self.transfers.post,
            VoidTransfer: self.transfers.void,
            ReverseTransfer: self.transfers.reverse,
            PlaceOrder: self.market.place,
            WithdrawOrder: self.market.withdraw,
        }

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the own stream, or of one that is followed.

        Raises:
            BrokenLaw: A posting would break a law of the books.
        """
        own, fact = recorded.stream == self._stream, recorded.fact
        self.authority.evolve(recorded, own=own)
        self.timekeeper.evolve(recorded)
        self.moment.evolve(recorded)
        if own:
            self._post(fact)
            self.room.evolve(fact)
            self.systems.evolve(fact)
            self.repayment.evolve(fact)
        elif recorded.stream.startswith(BILLING.name):
            self.repayment.evolve_billing(fact)
        for follower in self._told[type(fact)]:
            follower.evolve(recorded, own=own)

    def _post(self, fact: Fact) -> None:
        """Post all but claims, which are billing's part less what payments cleared of it."""
        entries = [entry for entry in postings(fact) if not entry.asset.startswith("C:")]
        try:
            self.books.post(entries)
        except ValueError as error:
            raise BrokenLaw("books", str(error)) from error

    def due(self) -> Sequence[Draft]:
        """What follows next by itself.

        Which time was reached is asked last: `TimeReached(t)` says that everything was decided
        that was read up to t, so whatever ends or follows at t stands before it.
        """
        for follower in self._followers:
            if drafts := follower.due():
                return drafts
        return self.timekeeper.due()

    def dump(self) -> Dumped:
        """Give the whole state for a snapshot."""
        return dump_parts(self._parts())

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        load_parts(self._parts(), dumped)

    def _parts(self) -> dict[str, Dumpable]:
        """Every part that holds state; one that is missing here is empty after a restart."""
        return {
            "authority": self.authority,
            "timekeeper": self.timekeeper,
            "books": self.books,
            "systems": self.systems,
            "repayment": self.repayment,
            "room": self.room,
            "moment": self.moment,
            "energy": self.energy,
            "trading": self.trading,
            "transfers": self.transfers,
            "between": self.between,
            "market": self.market,
            "minting": self.minting,
        }

    def decide(self, order: Order) -> Sequence[Draft]:
        """Decide a command.

        Raises:
            Refused, NotFound: By the rule that the code names.
        """
        decide = self._decisions.get(type(order.command.body))
        if decide is None:
            raise Refused("wrong-service", f"{order.command.command} is not for a book")
        return decide(order)

    def _deposit(self, order: Order) -> Draft:
        order.require("approver")
        body = order.body(DepositFunds)
        if self.authority.member(body.member) is None:
            raise Refused("unknown-member", f"{body.member} is not registered", field="body.member")
        if ":" in body.asset:
            raise Refused(
                "not-book-money", "a Stellar asset arrives on Stellar only", field="body.asset"
            )
        self.room.check_money(body.asset, body.amount_stroops, "body.amount_stroops")
        fact = FundsDeposited(
            member=body.member,
            asset=body.asset,
            amount_stroops=body.amount_stroops,
            command=order.text,
        )
        return Draft(body.member, fact, f"{order.id}.deposit", order.time)
