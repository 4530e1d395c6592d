"""The rules of a book: one `decide` before all that a book does. Pure.

The own facts fold into the balances; billing's facts and those of other books fold into parts of
their own, so that the order in which the streams arrive cannot matter.

Laws (domain rules, section 10), and where each is kept:

- Per asset, debits equal credits: by construction, a posting has one amount for both sides.
- No account crosses its normal side: checked at every fact, in `Books.post`; a breach ends us.
- Held plus free = balance: by construction, what is held has accounts of its own (`hold:`), and
  only a posting moves it; so the energy of a trade cannot be promised twice.
- Units of title = units of the system: by construction, `T` is issued at the price, and the
  uplift with its investment.
- Units of holdings at most those of the system: refused in `staging.py`.
- Nothing is cleared beyond what was billed: checked in `crediting.py`, at every payment.
- Nobody answers a transfer that we do not hold for him: checked in `between.py`.
- No balance leaves what a fact can say: refused by `room.py`, before it could happen.
- Generated = own use + used by co-holders + surplus: checked in `minting.py`, at every interval.
- Minted - shortfall <= corrected surplus: by construction, `minting.py` decides their difference.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from libs.events.command import Body
from libs.events.commands import DepositFunds, ReceiveFunds, SettleSuspense, WithdrawFunds
from libs.events.envelope import Draft, Recorded
from libs.events.fact import LATEST, Fact
from libs.events.subjects import family_of
from libs.events.system_commands import (
    AcceptHolding,
    AcceptRaise,
    AcceptShares,
    AdvanceStage,
    ApproveSystem,
    AssignPaygoDevice,
    CancelRaise,
    DepositCover,
    Invest,
    OfferHolding,
    OfferShares,
    OpenHolding,
    Pay,
    PayContractor,
    PayGridProceeds,
    Prepay,
    ProposeSystem,
    ReclaimHolding,
    RefundCredit,
    SetStandingOrder,
)
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
from libs.rules.posting import Posting
from libs.rules.postings import Books, postings
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import BrokenLaw, Refused
from services.ledger.agreements import Agreements
from services.ledger.between import Between
from services.ledger.energy import Energy
from services.ledger.grid import Grid
from services.ledger.handover import Handover
from services.ledger.market import Market
from services.ledger.minting import Minting
from services.ledger.moment import Moment
from services.ledger.paygo import Paygo
from services.ledger.payouts import Payouts
from services.ledger.raising import Raising
from services.ledger.receipts import Receipts
from services.ledger.repayment import Repayment
from services.ledger.returns import Returns
from services.ledger.room import Room
from services.ledger.staging import Staging
from services.ledger.supply import Supply
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
        self.systems = Systems(self.books)
        self.agreements = Agreements(self.books, self.systems)
        self.returns = Returns(
            authority=authority,
            books=self.books,
            systems=self.systems,
            agreements=self.agreements,
        )
        self.staging = Staging(authority, self.systems)
        self.raising = Raising(books=self.books, moment=self.moment, systems=self.systems)
        self.payouts = Payouts(authority=authority, books=self.books, systems=self.systems)
        self.handover = Handover(
            authority=authority,
            books=self.books,
            moment=self.moment,
            systems=self.systems,
            agreements=self.agreements,
            returns=self.returns,
        )
        self.repayment = Repayment(
            books=self.books, moment=self.moment, agreements=self.agreements, returns=self.returns
        )
        self.receipts = Receipts(
            authority=authority, books=self.books, room=self.room, agreements=self.agreements
        )
        self.supply = Supply(
            books=self.books,
            moment=self.moment,
            systems=self.systems,
            agreements=self.agreements,
            receivables=self.repayment.receivables,
            returns=self.returns,
        )
        self.paygo = Paygo(
            moment=self.moment,
            systems=self.systems,
            agreements=self.agreements,
            receivables=self.repayment.receivables,
        )
        self.grid = Grid(
            books=self.books,
            moment=self.moment,
            systems=self.systems,
            agreements=self.agreements,
            diversions=self.supply.diversions,
        )
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
        self.minting = Minting(
            timekeeper=timekeeper, taking=taking, diversions=self.supply.diversions
        )
        self._followers: tuple[Follower, ...] = (
            self.systems,
            self.agreements,
            self.returns,
            self.raising,
            self.payouts,
            self.handover,
            self.repayment,
            self.receipts,
            self.supply,
            self.paygo,
            self.energy,
            self.minting,
            self.grid,
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
            DepositFunds: self.receipts.deposit,
            ReceiveFunds: self.receipts.receive,
            SettleSuspense: self.receipts.settle_suspense,
            WithdrawFunds: self.receipts.withdraw,
            ProposeSystem: self.staging.propose,
            ApproveSystem: self.staging.approve,
            AdvanceStage: self.staging.advance,
            OpenHolding: self.staging.open_holding,
            Invest: self.raising.invest,
            AcceptRaise: self.raising.accept,
            CancelRaise: self.raising.cancel,
            PayContractor: self.payouts.pay,
            DepositCover: self.payouts.deposit_cover,
            OfferShares: self.handover.offer_shares,
            AcceptShares: self.handover.accept_shares,
            OfferHolding: self.handover.offer_holding,
            AcceptHolding: self.handover.accept_holding,
            Pay: self.repayment.pay,
            Prepay: self.repayment.prepay,
            RefundCredit: self.repayment.refund_credit,
            SetStandingOrder: self.repayment.set_standing_order,
            ReclaimHolding: self.supply.reclaim,
            PayGridProceeds: self.grid.pay,
            AssignPaygoDevice: self.paygo.assign,
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
            self._post(recorded)
            self.room.evolve(fact)
        for follower in self._told[type(fact)]:
            follower.evolve(recorded, own=own)

    def _post(self, recorded: Recorded[Fact]) -> None:
        """Post all but the claims to which billing posts too: `Receivables` keeps those."""
        entries = [entry for entry in postings(recorded.fact) if not _is_of_billing_too(entry)]
        try:
            self.books.post(entries)
        except ValueError as error:
            raise BrokenLaw("books", str(error)) from error
        self.repayment.notice(entries, recorded)

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
            "agreements": self.agreements,
            "returns": self.returns,
            "raising": self.raising,
            "payouts": self.payouts,
            "handover": self.handover,
            "repayment": self.repayment,
            "receipts": self.receipts,
            "supply": self.supply,
            "paygo": self.paygo,
            "grid": self.grid,
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


_SHARED_CLAIMS: Final = frozenset({"due", "billed", "overbilled", "prepaid"})
"""First words of the claim accounts to which billing's facts and ours both post."""


def _is_of_billing_too(entry: Posting) -> bool:
    if not entry.asset.startswith("C:"):
        return False
    words = {account.partition(":")[0] for account in (entry.debit, entry.credit)}
    return not words.isdisjoint(_SHARED_CLAIMS)
