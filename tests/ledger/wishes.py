"""What a member could ask of a book, drawn by Hypothesis from what the second model knows."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from libs.events.command import Body
from libs.events.commands import DepositFunds
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
from libs.events.trading import EnergyLeg, Leg, MoneyLeg
from tests.histories import START, key_of
from tests.ledger.model_accounts import MOST
from tests.ledger.playing import Town

QUARTER = timedelta(minutes=15)
UNITS: Mapping[str, int] = {"sun": 600, "wind": 400}
"""The two who hold a part of the plant, and their units."""

FOUNDERS = ("mill", "farm", *UNITS)
"""Who trades from the beginning."""

LATE = ("kiln", "loom")
"""Who may be let in later."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Wishes:
    """Draws what a member could ask of a book: three times out of four what could be granted."""

    def __init__(self, town: Town, book: str, draw: Draw) -> None:
        self.town, self.book, self.draw = town, book, draw
        self.mirror = town.mirror(book)
        self.is_sane: bool = draw(st.sampled_from((True, True, True, False)))

    def one_of(self, *sane: Any, wild: tuple[Any, ...] = ()) -> Any:
        """One of the sensible, or of all."""
        return self.draw(st.sampled_from(sane if self.is_sane and sane else (*sane, *wild)))

    def amount(self, free: int) -> int:
        size = self.one_of("one", "some", "some", "half", "all", wild=("more", "huge"))
        sizes = {"one": 1, "some": free // 5, "half": free // 2, "all": free, "more": free + 1}
        return min(max(sizes.get(size, MOST), 1), MOST)

    def energy(self, member: str) -> int:
        """For a command whose text may also say nothing at all."""
        nothing = self.one_of(False, wild=(True,))
        return 0 if nothing else self.amount(self.mirror.free("W", member))

    def party(self, *but: str) -> str:
        found: str = self.one_of(
            *(name for name in FOUNDERS if name not in but),
            wild=(*FOUNDERS, *LATE, "anna", "ghost"),
        )
        return found

    def asset(self) -> str:
        found: str = self.one_of("TOKEN", wild=("USD", f"EUR:{key_of('bank').address}"))
        return found

    def name(self, word: str, opened: Iterable[str], known: Iterable[str]) -> str:
        """An open one, or any that was, or one that never was."""
        found: str = self.one_of(*opened, wild=(*known, f"{word}-none"))
        return found

    def new_name(self, word: str, known: Collection[str]) -> str:
        found: str = self.one_of(f"{word}-{len(known)}", wild=tuple(known))
        return found

    def ahead(self) -> Any:
        """An end from a moment ago to more than a year ahead."""
        hours = self.one_of(1, 3, 24, 200, wild=(-1, 0, 366 * 24, 366 * 24 + 1))
        return self.town.now + timedelta(hours=hours)

    def of_energy(self, member: str) -> Body:
        kind = self.one_of("mint", "deposit", "give", "retire")
        if kind == "mint":
            room = self.one_of(5_000, wild=(self.mirror.room("W"),))
            return MintEnergy(factoryId=self.party(), amount=self.amount(room))
        if kind == "deposit":
            asset = self.asset()
            amount = self.amount(self.one_of(10**7, wild=(self.mirror.room(f"U:{asset}"),)))
            return DepositFunds(member=self.party(), asset=asset, amount_stroops=amount)
        if kind == "give":
            giver = self.one_of(member, wild=("mill",))
            return TransferEnergy(
                fromFactoryId=giver, toFactoryId=self.party(giver), amount=self.energy(giver)
            )
        return RetireEnergy(factoryId=member, amount=self.energy(member))

    def of_trades(self, member: str) -> Body:
        trades = self.mirror.trades
        opened = [name for name, each in trades.items() if each.is_open]
        kind = self.one_of("create", *(["execute"] * 3 + ["cancel"]) * bool(opened))
        if not self.is_sane:
            kind = self.one_of("create", "execute", "cancel")
        if kind == "create":
            return self.trade(member)
        name = self.name("trade", opened, trades)
        return ExecuteTrade(tradeId=name) if kind == "execute" else CancelTrade(tradeId=name)

    def trade(self, member: str) -> Body:
        values = {
            "tradeId": self.new_name("trade", self.mirror.trades),
            "sellerId": self.one_of(member, wild=("mill",)),
            "buyerId": self.party(member),
            "amount": self.energy(member),
            "pricePerUnit": self.one_of(
                501, 2_000, 2_500, 80_000, wild=(0, 1, 499, 500, 10**12, 10**12 + 1)
            ),
            "expiresAt": self.one_of(None, self.ahead()),
            "asset": self.asset(),
        }
        return CreateTrade.model_validate(values)

    def leg(self, payer: str, share: int) -> Leg:
        to_member, asset = self.party(payer), self.asset()
        if self.one_of(True, False):
            amount = self.amount(self.mirror.free("W", payer) // share)
            return EnergyLeg(to_member=to_member, energy_wh=amount)
        amount = self.amount(self.mirror.free(f"U:{asset}", payer) // share)
        return MoneyLeg(to_member=to_member, asset=asset, amount_stroops=amount)

    def legs(self, payer: str) -> tuple[Leg, ...]:
        count = self.one_of(1, 1, 2, 3)
        return tuple(self.leg(payer, count) for _ in range(count))

    def to_other(self, member: str) -> Body:
        """Money for somebody in another book."""
        asset = self.one_of("TOKEN", wild=("USD",))
        amount = self.amount(self.mirror.free(f"U:{asset}", member))
        to_member = self.party() if self.one_of(True, True, False) else self.one_of(*LATE)
        leg = MoneyLeg(to_member=to_member, asset=asset, amount_stroops=amount)
        (other,) = {*self.town.books} - {self.book}
        return ReserveTransfer(
            transfer=self.new_name("transfer", self.mirror.transfers),
            legs=self.legs(member) if self.one_of(False, wild=(True,)) else (leg,),
            to_book=self.one_of(other, wild=(self.book, "nowhere")),
            expires_at=self.ahead(),
        )

    def of_transfers(self, member: str) -> Body:
        known = self.mirror.transfers
        states = {
            state: [
                name for name, each in known.items() if each.state == state and not each.to_book
            ]
            for state in ("held", "posted")
        }
        kinds = ["at once", "hold", "hold"]
        kinds += ["post", "post", "part", "part", "void"] * bool(states["held"])
        kinds += ["reverse"] * bool(states["posted"])
        kind = self.one_of(*kinds, wild=("post", "part", "void", "reverse"))
        if kind in ("at once", "hold"):
            name, legs = self.new_name("transfer", known), self.legs(member)
            if kind == "at once":
                return TransferFunds(transfer=name, legs=legs)
            return ReserveTransfer(transfer=name, legs=legs, expires_at=self.ahead())
        if kind == "reverse":
            name = self.name("transfer", states["posted"], known)
            return ReverseTransfer(transfer=name, reason="by mistake")
        name = self.name("transfer", states["held"], known)
        if kind == "void":
            return VoidTransfer(transfer=name)
        return PostTransfer(transfer=name) if kind == "post" else self.part(name)

    def part(self, name: str) -> Body:
        """Take a part of what is held, of the right kind or not."""
        asset, held = (
            self.mirror.transfers[name].legs[0][1:] if name in self.mirror.transfers else ("W", 1)
        )
        part = self.amount(held)
        right = "energy_wh" if asset == "W" else "amount_stroops"
        wrong = {"energy_wh": part, "amount_stroops": part}
        wild = (wrong, {key: part for key in wrong if key != right})
        return PostTransfer(transfer=name, **self.one_of({right: part}, wild=wild))

    def of_market(self, member: str) -> Body:
        orders = self.mirror.orders
        opened = [name for name, each in orders.items() if each.is_open]
        if opened and self.one_of(*(False,) * 6, True):
            return WithdrawOrder(orderId=self.name("order", opened, orders))
        minted = [slot for (slot, _), left in self.mirror.in_slot.items() if left > 0]
        recent = [slot for slot in minted if self.town.now - slot < timedelta(hours=2)]
        own = [slot for slot in recent if self.mirror.in_slot[slot, member] > 0]
        quarter = START + (self.town.now - START) // QUARTER * QUARTER
        odd = (START, quarter + timedelta(seconds=60), quarter + timedelta(days=7, minutes=15))
        slot = self.one_of(*own, *recent, *[quarter] * (not recent), wild=odd)
        is_offer = slot in own and self.one_of(True, True, wild=(False,))
        left = self.mirror.in_slot[slot, member] if is_offer else 400
        return PlaceOrder(
            orderId=self.new_name("order", orders),
            side="offer" if is_offer else self.one_of("bid", wild=("offer",)),
            slot=slot,
            amount=self.one_of(self.amount(left), wild=(0,)),
            pricePerUnit=self.one_of(
                1_999, 2_000, 2_001, 3_000, 3_333, wild=(999, 1_000, 10**12, 10**12 + 1)
            ),
        )
