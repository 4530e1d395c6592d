"""Transfers between two books of an installation: two writers, two streams, no common append. Pure.

The payer's book A holds the money (`TransferReserved`). The receiver's book B reads that and says
in its own stream whether it took it (`TransferPosted` from A: received -> wallet) or not
(`TransferVoided`). A reads that and lets go: hold -> transit, or hold -> wallet. Each step follows
from what stands in the two streams and not from who was told what, so that a crash between any two
of them delays it and changes nothing. Only B decides whether it came in time: A never voids alone.

Law: transit to B at A <= received from A at B <= transit to B and held for B at A; all are equal
when nothing is on its way.

Source: docs/decisions/0003.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from typing import Final, Literal

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.membership import MemberRegistered
from libs.events.positions import write_cause
from libs.events.subjects import LEDGER, family_of
from libs.events.trading import (
    MoneyLeg,
    TransferPosted,
    TransferReserved,
    TransferVoided,
    book_key,
)
from libs.rules.authority import Authority
from libs.rules.dumps import Dumped, Loaded
from libs.rules.postings import Books
from libs.runtime.failures import BrokenLaw
from services.ledger.moment import Moment
from services.ledger.room import Room
from services.ledger.transfers import Transfers

Answer = TransferPosted | TransferVoided
Reason = Literal["expired", "no-room", "suspended"]


@dataclass(frozen=True, slots=True)
class _Read:
    """A fact of another book, and where it stands."""

    book: str
    sequence: int
    cause: str


@dataclass(frozen=True, slots=True)
class _Incoming(_Read):
    """A transfer that another book holds for us, and that we have not answered."""

    reserved: TransferReserved

    @property
    def name(self) -> str:
        """Book and transfer; ids have no dots."""
        return f"{self.book}.{self.reserved.transfer}"

    @property
    def leg(self) -> MoneyLeg:
        """Its one leg."""
        (leg,) = self.reserved.legs
        assert isinstance(leg, MoneyLeg), "only money moves between books"
        return leg


@dataclass(frozen=True, slots=True)
class _Answered(_Read):
    """What another book said to a transfer of ours that is still held."""

    answer: Answer


class Between:
    """What is on its way between this book and all others, in both directions."""

    facts: Final = frozenset[type[Fact]](
        {MemberRegistered, TransferReserved, TransferPosted, TransferVoided}
    )
    """What `evolve` takes note of."""

    def __init__(
        self,
        *,
        authority: Authority,
        books: Books,
        room: Room,
        moment: Moment,
        transfers: Transfers,
        book: str,
    ) -> None:
        """Begin with nothing on its way.

        Args:
            authority: Who is registered.
            books: The balances.
            room: What this book can still take in.
            moment: The time by which a transfer is too late.
            transfers: The own reservations.
            book: Name of this book.
        """
        self._authority, self._books, self._room = authority, books, room
        self._moment, self._transfers, self._book = moment, transfers, book
        self._incoming: dict[str, _Incoming] = {}
        self._by_receiver: dict[str, list[str]] = {}
        self._ready: list[tuple[str, int, str]] = []
        self._ends: list[tuple[datetime, str, int, str]] = []
        self._taken: set[str] = set()
        self._settled: set[str] = set()
        self._answers: dict[str, _Answered] = {}
        self._to_settle: list[tuple[str, int, str]] = []

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold facts about transfers of the own stream and of other books, and registrations."""
        fact = recorded.fact
        if own:
            self._evolve_own(fact)
        elif isinstance(fact, MemberRegistered):
            for name in self._by_receiver.pop(fact.member, ()):
                self._offer(self._incoming.get(name))
        elif isinstance(fact, TransferReserved | TransferPosted | TransferVoided):
            family, book = family_of(recorded.stream)
            assert family is LEDGER, "transfers stand in books only"
            cause = write_cause(recorded.position, recorded.envelope.id)
            self._evolve_other(fact, _Read(book, recorded.sequence, cause))

    def _evolve_own(self, fact: Fact) -> None:
        """What we answered, and what we let go of. The other half may be read before or after."""
        if not isinstance(fact, TransferPosted | TransferVoided):
            return
        if fact.to_book is not None:
            self._answers.pop(fact.transfer, None)
        if fact.from_book is not None:
            name = f"{fact.from_book}.{fact.transfer}"
            self._incoming.pop(name, None)
            if name in self._settled:
                self._settled.discard(name)
            else:
                self._taken.add(name)

    def _evolve_other(self, fact: TransferReserved | Answer, read: _Read) -> None:
        name = f"{read.book}.{fact.transfer}"
        if fact.to_book == self._book:
            if isinstance(fact, TransferReserved):
                if name not in self._taken:
                    self._await(_Incoming(read.book, read.sequence, read.cause, fact))
            elif name in self._taken:
                self._taken.discard(name)  # both are done with it: nobody will speak of it again
            else:
                self._settled.add(name)
        elif isinstance(fact, Answer) and fact.from_book == self._book:
            mine = self._transfers
            if fact.transfer in mine.open or fact.transfer not in mine.used:
                self._hear(_Answered(read.book, read.sequence, read.cause, fact))

    def _await(self, incoming: _Incoming) -> None:
        """Take an incoming transfer up: it can be decided once its receiver is registered."""
        if incoming.reserved.command is not None:
            bare = incoming.reserved.model_copy(update={"command": None})
            incoming = _Incoming(incoming.book, incoming.sequence, incoming.cause, bare)
        self._incoming[incoming.name] = incoming
        receiver = incoming.leg.to_member
        if self._authority.member(receiver) is not None:
            self._offer(incoming)
            return
        self._by_receiver.setdefault(receiver, []).append(incoming.name)
        ends_at = incoming.reserved.expires_at
        heappush(self._ends, (ends_at, incoming.book, incoming.sequence, incoming.name))

    def _offer(self, incoming: _Incoming | None) -> None:
        if incoming is not None:
            heappush(self._ready, (incoming.book, incoming.sequence, incoming.name))

    def _hear(self, answered: _Answered) -> None:
        transfer = answered.answer.transfer
        self._answers[transfer] = answered
        heappush(self._to_settle, (answered.book, answered.sequence, transfer))

    def due(self) -> Sequence[Draft]:
        """The next transfer to answer or to let go of, by book and position, one at a time.

        One at a time, because each may take the room that the next would need.
        """
        now = self._moment.now
        if now is None:
            return ()
        while self._ready:
            incoming = self._incoming.get(self._ready[0][-1])
            if incoming is not None:
                return (self._receive(incoming, now),)
            heappop(self._ready)
        while self._ends and self._ends[0][0] <= now:
            incoming = self._incoming.get(self._ends[0][-1])
            if incoming is not None:
                return (self._decline(incoming, "expired", now),)
            heappop(self._ends)
        while self._to_settle:
            answered = self._answers.get(self._to_settle[0][-1])
            if answered is not None:
                return (self._settle(answered, now),)
            heappop(self._to_settle)
        return ()

    def _receive(self, incoming: _Incoming, now: datetime) -> Draft:
        """Take what another book holds for a member of ours, or say why not."""
        reserved, leg = incoming.reserved, incoming.leg
        receiver, money = self._authority.member(leg.to_member), f"U:{leg.asset}"
        assert receiver is not None, "offered only once he is registered"
        if now >= reserved.expires_at:
            return self._decline(incoming, "expired", now)
        if receiver.is_suspended:
            return self._decline(incoming, "suspended", now)
        if leg.amount_stroops > self._room.left(money):
            return self._decline(incoming, "no-room", now)
        fact = TransferPosted(
            transfer=reserved.transfer,
            from_member=reserved.from_member,
            legs=reserved.legs,
            is_held=False,
            returned_stroops=0,
            returned_wh=0,
            from_book=incoming.book,
            metadata=reserved.metadata,
        )
        return self._answer(incoming, fact, now)

    def _decline(self, incoming: _Incoming, reason: Reason, now: datetime) -> Draft:
        reserved = incoming.reserved
        fact = TransferVoided(
            transfer=reserved.transfer,
            from_member=reserved.from_member,
            legs=reserved.legs,
            reason=reason,
            from_book=incoming.book,
        )
        return self._answer(incoming, fact, now)

    def _answer(self, incoming: _Incoming, fact: Answer, now: datetime) -> Draft:
        word = "posted" if isinstance(fact, TransferPosted) else "voided"
        fact_id = f"{book_key(incoming.book)}:{fact.transfer}.{word}"
        return Draft(book_key(incoming.book), fact, fact_id, now, incoming.cause)

    def _settle(self, answered: _Answered, now: datetime) -> Draft:
        """Let go of what is held, as the other book answered.

        Raises:
            BrokenLaw: It answered what we never asked of it: money would be made of nothing.
        """
        answer, held = answered.answer, self._transfers.open.get(answered.answer.transfer)
        asked = None if held is None else (held.to_book, held.from_member, held.legs)
        if held is None or asked != (answered.book, answer.from_member, answer.legs):
            raise BrokenLaw("unasked-answer", f"{answered.cause} answers what is not held for it")
        if isinstance(answer, TransferPosted):
            fact: Answer = TransferPosted(
                transfer=held.transfer,
                from_member=held.from_member,
                legs=held.legs,
                is_held=True,
                returned_stroops=0,
                returned_wh=0,
                to_book=held.to_book,
            )
        else:
            fact = TransferVoided(
                transfer=held.transfer,
                from_member=held.from_member,
                legs=held.legs,
                reason=answer.reason,
                to_book=held.to_book,
            )
        word = "posted" if isinstance(answer, TransferPosted) else "voided"
        fact_id = f"transfer:{held.transfer}.{word}"
        return Draft(book_key(answered.book), fact, fact_id, now, answered.cause)

    def dump(self) -> Dumped:
        """Give what is on its way, for a snapshot; the order in which it is decided follows."""
        incoming, answers = tuple(self._incoming.values()), tuple(self._answers.values())
        return {
            "incoming": (
                [each.book, each.sequence, each.cause, each.reserved.model_dump_json()]
                for each in incoming
            ),
            "taken": list(self._taken),
            "settled": list(self._settled),
            "answers": (
                [
                    each.book,
                    each.sequence,
                    each.cause,
                    each.answer.fact_name,
                    each.answer.model_dump_json(),
                ]
                for each in answers
            ),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave; members are loaded before."""
        self._taken.update(dumped["taken"])
        self._settled.update(dumped["settled"])
        for book, sequence, cause, text in dumped["incoming"]:
            self._await(
                _Incoming(book, sequence, cause, TransferReserved.model_validate_json(text))
            )
        for book, sequence, cause, name, text in dumped["answers"]:
            kind = TransferPosted if name == TransferPosted.fact_name else TransferVoided
            self._hear(_Answered(book, sequence, cause, kind.model_validate_json(text)))
