"""The second model, part 4: transfers at once, in two phases, and between books (decision 0003)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from tests.ledger.model_accounts import Trades
from tests.ledger.model_people import NEVER

REVERSIBLE = timedelta(days=7)

Leg = tuple[str, str, int]
"""To whom, what (`W` or `U:<money>`), how much."""


@dataclass
class Transfer:
    """What a payer gives, or will give."""

    payer: str
    legs: tuple[Leg, ...]
    to_book: str | None
    expires_at: datetime | None
    state: Literal["held", "posted", "void", "reversed"]
    posted_at: datetime | None = None


@dataclass
class Letter:
    """What one book's stream says to another book about a transfer."""

    kind: Literal["held", "taken", "declined", "done"]
    transfer: str
    to_member: str = ""
    asset: str = ""
    amount: int = 0
    expires_at: datetime = NEVER


class Transfers(Trades):
    """Transfers at once, in two phases, and to and from other books."""

    def __init__(self, book: str, others: Iterable[str] = ()) -> None:
        super().__init__(book)
        self.others = tuple(others)
        self.transfers: dict[str, Transfer] = {}
        self.written: dict[str, list[Letter]] = {other: [] for other in self.others}
        """What stands in our stream for other books to read."""
        self.coming: dict[str, list[Letter]] = {other: [] for other in self.others}
        """What we read of other books and have not worked off."""

    def _leg_faults(self, who: str, legs: tuple[Leg, ...], *, here: bool) -> Iterable[str]:
        sums: Counter[str] = Counter()
        for member, asset, amount in legs:
            sums[asset] += amount
            if ":" in asset[2:]:
                yield "not-book-money"
            if here and member == who:
                yield "same-party"
            if here:
                yield from self.party_faults(member)
        for asset, amount in sums.items():
            yield from self.cover_faults(who, asset, amount)

    def may_transfer_funds(self, _: None, who: str, body: Any) -> Iterable[str]:
        if body.transfer in self.transfers:
            yield "transfer-exists"
        yield from self._leg_faults(who, plain(body.legs), here=True)

    def do_transfer_funds(self, _: str, who: str, body: Any) -> None:
        legs = plain(body.legs)
        for member, asset, amount in legs:
            self.move(asset, self.own(asset, who), self.own(asset, member), amount)
        self.transfers[body.transfer] = Transfer(who, legs, None, None, "posted", self.now)

    def may_reserve_transfer(self, _: None, who: str, body: Any) -> Iterable[str]:
        if body.transfer in self.transfers:
            yield "transfer-exists"
        yield from self.expiry_faults(body.expires_at)
        legs = plain(body.legs)
        yield from self._leg_faults(who, legs, here=body.to_book is None)
        if body.to_book is not None:
            if body.to_book == self.book:
                yield "same-book"
            elif body.to_book not in self.others:
                yield "unknown-book"
            if len(legs) > 1 or legs[0][1] == "W":
                yield "not-one-money-leg"

    def do_reserve_transfer(self, _: str, who: str, body: Any) -> None:
        legs = plain(body.legs)
        self.transfers[body.transfer] = Transfer(who, legs, body.to_book, body.expires_at, "held")
        for leg in legs:
            asset, amount = leg[1:]
            self.move(asset, self.own(asset, who), f"hold:{who}:transfer.{body.transfer}", amount)
        if body.to_book is not None:
            letter = Letter("held", body.transfer, *legs[0], body.expires_at)
            self.written[body.to_book].append(letter)

    def _held_faults(self, who: str, name: str) -> Iterable[str]:
        held = self.transfers.get(name)
        if held is None:
            yield "unknown-transfer"
        elif held.state != "held":
            yield "transfer-closed"
        elif held.to_book is not None:
            yield "transfer-between-books"
        else:
            assert held.expires_at is not None
            if self.now >= held.expires_at:
                yield "transfer-expired"
            if who not in {member for member, _, _ in held.legs}:
                yield "wrong-signer"

    def may_post_transfer(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self._held_faults(who, body.transfer)
        held = self.transfers.get(body.transfer)
        if held is None or held.state != "held" or held.to_book is not None:
            return
        for member in (held.payer, *(member for member, _, _ in held.legs)):
            yield from self.party_faults(member)
        asked = {"U": body.amount_stroops, "W": body.energy_wh}
        if asked == {"U": None, "W": None}:
            return
        asset, amount = held.legs[0][1:]
        part = asked.pop(asset[0])
        if len(held.legs) > 1:
            yield "not-one-leg"
        elif part is None or set(asked.values()) != {None}:
            yield "other-kind"
        elif part > amount:
            yield "more-than-held"

    def do_post_transfer(self, _: str, __: str, body: Any) -> None:
        held = self.transfers[body.transfer]
        part: int | None = body.amount_stroops or body.energy_wh
        legs = held.legs if part is None else ((*held.legs[0][:2], part),)
        for member, asset, amount in legs:
            hold = f"hold:{held.payer}:transfer.{body.transfer}"
            self.move(asset, hold, self.own(asset, member), amount)
        if part is not None:
            _, asset, amount = held.legs[0]
            self._give_back(body.transfer, ((held.payer, asset, amount - part),))
        held.legs, held.state, held.posted_at = legs, "posted", self.now

    def may_void_transfer(self, _: None, who: str, body: Any) -> Iterable[str]:
        return self._held_faults(who, body.transfer)

    def do_void_transfer(self, _: str, __: str, body: Any) -> None:
        self._give_back(body.transfer, self.transfers[body.transfer].legs)

    def _give_back(self, name: str, legs: tuple[Leg, ...]) -> None:
        held = self.transfers[name]
        held.state = "void"
        for _, asset, amount in legs:
            hold = f"hold:{held.payer}:transfer.{name}"
            self.move(asset, hold, self.own(asset, held.payer), amount)

    def may_reverse_transfer(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self.lacks(who, "approver")
        done = self.transfers.get(body.transfer)
        if done is None:
            yield "unknown-transfer"
        elif done.state == "held":
            yield "transfer-not-posted"
        elif done.posted_at is None or self.now - done.posted_at > REVERSIBLE:
            yield "not-reversible"
        elif done.state == "reversed":
            yield "transfer-reversed"
        else:
            sums: Counter[tuple[str, str]] = Counter()
            for member, asset, amount in done.legs:
                sums[member, asset] += amount
            for (member, asset), amount in sums.items():
                yield from self.cover_faults(member, asset, amount)

    def do_reverse_transfer(self, _: str, __: str, body: Any) -> None:
        done = self.transfers[body.transfer]
        done.state = "reversed"
        for member, asset, amount in done.legs:
            self.move(asset, self.own(asset, member), self.own(asset, done.payer), amount)

    def step_between(self) -> bool:
        """Work off the first letter of another book that can be."""
        held = [
            (other, letter)
            for other in sorted(self.others)
            for letter in self.coming[other]
            if letter.kind == "held"
        ]
        known = [each for each in held if each[1].to_member in self.people]
        late = [each for each in held if each[1].expires_at <= self.now]
        for other, letter in [*known, *sorted(late, key=lambda each: each[1].expires_at)]:
            self._answer(other, letter)
            return True
        for other in sorted(self.others):
            for letter in self.coming[other]:
                if letter.kind in ("taken", "declined"):
                    self._let_go(other, letter)
                    return True
        return False

    def _answer(self, other: str, letter: Letter) -> None:
        self.coming[other].remove(letter)
        receiver, received = self.people.get(letter.to_member), f"received:{other}"
        taken = (
            letter.expires_at > self.now
            and receiver is not None
            and not receiver.is_suspended
            and letter.amount <= self.room(letter.asset)
        )
        if taken:
            self.move(letter.asset, received, f"wallet:{letter.to_member}", letter.amount)
        self.written[other].append(Letter("taken" if taken else "declined", letter.transfer))

    def _let_go(self, other: str, letter: Letter) -> None:
        self.coming[other].remove(letter)
        held = self.transfers[letter.transfer]
        ((_, asset, amount),) = held.legs
        if letter.kind == "taken":
            hold = f"hold:{held.payer}:transfer.{letter.transfer}"
            self.move(asset, hold, f"transit:{other}", amount)
            held.state = "posted"
        else:
            self._give_back(letter.transfer, held.legs)
        self.written[other].append(Letter("done", letter.transfer))

    def step_expiry(self) -> bool:
        """End the trades, then the reservations of this book, whose time is over."""
        trades = [
            name
            for name, each in self.trades.items()
            if each.is_open and each.expires_at <= self.now
        ]
        held = [
            name
            for name, each in self.transfers.items()
            if each.state == "held"
            and each.to_book is None
            and each.expires_at is not None
            and each.expires_at <= self.now
        ]
        for name in trades:
            self.end_trade(name, self.trades[name].seller)
        for name in held:
            self._give_back(name, self.transfers[name].legs)
        return bool(trades or held)


def plain(legs: Iterable[Any]) -> tuple[Leg, ...]:
    """Legs of a command without its classes."""
    return tuple(
        (leg.to_member, "W", leg.energy_wh)
        if hasattr(leg, "energy_wh")
        else (leg.to_member, f"U:{leg.asset}", leg.amount_stroops)
        for leg in legs
    )
