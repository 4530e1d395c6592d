"""Random histories of a book, and of two books, against a second model of the same rules.

Whatever is asked, in whatever order, with crashes and snapshots between any two steps: the ledger
and the model (`model.py`) answer alike and have the same balances, and the laws hold.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from libs.events.command import Body
from libs.events.commands import (
    DepositFunds,
    GrantRoles,
    RegisterMember,
    RotateKey,
    SuspendMember,
)
from libs.events.fact import Fact
from libs.events.metering import MeterHead, ReadingCorrected, ReadingRecorded
from libs.events.trade_commands import (
    CancelTrade,
    CreateTrade,
    ExecuteTrade,
    MintEnergy,
    PlaceOrder,
    PostTransfer,
    RegisterFactory,
    RetireEnergy,
    ReverseTransfer,
    TransferEnergy,
    VoidTransfer,
    WithdrawOrder,
)
from libs.events.trading import SlotCleared
from services.ledger.domain import Book
from tests.histories import ANY_COMMAND_SIGNED, START, key_of
from tests.ledger import model
from tests.ledger.minted import enrolment, holding, system
from tests.ledger.model_accounts import DEBIT
from tests.ledger.playing import FOUNDER, METERS, READINGS, Played, Town
from tests.ledger.wishes import FOUNDERS, LATE, QUARTER, UNITS, Wishes

SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))
BEGIN_WH: Mapping[str, int] = {"mill": 20_000, "farm": 3_000, "sun": 100, "wind": 0}
"""What they begin with. Who has a plant has little else, so that a correction finds it traded."""


TRADERS = st.sampled_from(FOUNDERS)
STEPS = st.sampled_from(
    (
        *[timedelta(seconds=1)] * 2,
        *[QUARTER] * 4,
        *[timedelta(minutes=40)] * 2,
        timedelta(hours=2, minutes=15),
        timedelta(hours=12),
        timedelta(days=1),
        timedelta(days=7, seconds=1),
        timedelta(days=34),
    )
)

GROUPS = ("of_energy", "of_trades", "of_transfers", "of_market")


class Books(RuleBasedStateMachine):
    """One book with members, a plant, and everything that may be asked of it."""

    names: tuple[str, ...] = ("pilot",)
    steps = 0

    @initialize()
    def begin(self) -> None:
        self.town = Town(*self.names)
        self.count = 0
        self.quarters = dict.fromkeys(("pv", *(f"load-h-{name}" for name in UNITS)), 0)
        self.order(
            "register",
            "anna",
            RegisterMember(member="anna", address=key_of("anna").address, roles=("approver",)),
            signer=FOUNDER,
        )
        for member in FOUNDERS:
            book = self.names[FOUNDERS.index(member) % len(self.names)]
            self.order("register", "anna", self.factory(member, book, BEGIN_WH[member], 10**6))
        for name in self.names:
            self.town.learn(name)
            self.town.settle(name)
        self.plant(self.names[0])
        for quarter in range(2):
            for meter, energy_wh in zip(self.quarters, (900, 100, 50), strict=True):
                self.read(meter, energy_wh + quarter)
        self.town.advance(timedelta(minutes=45))
        for name in self.names:
            self.town.settle(name)

    def factory(self, member: str, book: str, energy_wh: int, stroops: int) -> Body:
        return RegisterFactory(
            factoryId=member,
            address=key_of(member).address,
            name=member,
            energyType="solar",
            book=book,
            initialBalance=energy_wh,
            currencyBalance=stroops,
        )

    def plant(self, book: str) -> None:
        """A plant of which two members hold a part each; its facts are given, as others' tests."""
        played, mirror, history = self.town.books[book], self.town.mirror(book), self.town.history
        played.turns.give(history.record(played.stream, "sun", system()))
        for member, units in UNITS.items():
            fact = holding(f"h-{member}", member, units)
            played.turns.give(history.record(played.stream, fact.holding, fact))
            mirror.homes.append(model.Home(fact.holding, member, units))
        mirror.plant = "pv"
        for meter in self.quarters:
            of = None if meter == "pv" else meter.removeprefix("load-")
            self.town.measure(history.record(METERS, meter, enrolment(meter, of)))

    def read(self, meter: str, *values: int) -> None:
        """A meter reports its next quarters."""
        start = START + self.quarters[meter] * QUARTER
        seq = self.quarters[meter] = self.quarters[meter] + len(values)
        name = "generated" if meter == "pv" else "consumed"
        fact = ReadingRecorded.model_validate(
            {
                "meter": meter,
                "seq": seq,
                "epoch": 1,
                "first_interval_at": start,
                "interval_s": 900,
                "registers": ({"name": name, "differences_wh": values, "after_wh": 10**12},),
                "head": MeterHead(epoch=1, seq=seq, until_at=start, registers=(), gaps=()),
                "report": "a.b.c",
            }
        )
        self.metered(fact, meter)
        for number, value in enumerate(values):
            self.town.mirror(self.names[0]).read[meter, start + number * QUARTER] = value

    def metered(self, fact: Fact, meter: str) -> None:
        self.town.measure(self.town.history.record(READINGS, meter, fact))

    def order(self, to: str, member: str, body: Body, **claims: Any) -> bool:
        self.count += 1
        (yes,) = self.town.send(self.town.order(to, member, f"c-{self.count}", body, **claims))
        return yes

    def signer(self, data: st.DataObject, member: str, body: Body) -> str:
        """Who signs: mostly whoever has to."""
        mirror, right = self.town.mirror(self.book), member
        if isinstance(body, (DepositFunds, MintEnergy, ReverseTransfer)):
            right = "anna"
        elif isinstance(body, (ExecuteTrade, CancelTrade)) and body.trade_id in mirror.trades:
            right = mirror.trades[body.trade_id].buyer
        elif isinstance(body, WithdrawOrder) and body.order_id in mirror.orders:
            right = mirror.orders[body.order_id].member
        elif isinstance(body, (PostTransfer, VoidTransfer)) and body.transfer in mirror.transfers:
            right = mirror.transfers[body.transfer].legs[0][0]
        found: str = data.draw(st.sampled_from((right,) * 7 + (member,)))
        return found

    def wishes(self, data: st.DataObject) -> Wishes:
        return Wishes(self.town, self.book, data.draw)

    @property
    def book(self) -> str:
        return self.names[self.count % len(self.names)]

    # -- what may happen ---------------------------------------------------------------------

    def _ask(self, data: st.DataObject, group: str, member: str) -> None:
        """Somebody asks for something."""
        body = getattr(self.wishes(data), group)(member)
        signer = self.signer(data, member, body)
        yes = self.order(self.book, signer, body)
        note(f"{signer} asks for {body!r}: {yes}")

    @rule(data=st.data(), member=TRADERS)
    def ask_for_energy(self, data: st.DataObject, member: str) -> None:
        self._ask(data, "of_energy", member)

    @rule(data=st.data(), member=TRADERS)
    def ask_for_a_trade(self, data: st.DataObject, member: str) -> None:
        self._ask(data, "of_trades", member)

    @rule(data=st.data(), member=TRADERS)
    def ask_for_a_transfer(self, data: st.DataObject, member: str) -> None:
        self._ask(data, "of_transfers", member)

    @rule(data=st.data(), member=TRADERS)
    def ask_the_market(self, data: st.DataObject, member: str) -> None:
        self._ask(data, "of_market", member)

    @rule(
        data=st.data(),
        member=TRADERS,
        groups=st.lists(st.sampled_from(GROUPS), min_size=1, max_size=5),
        double=st.booleans(),
    )
    def batch(self, data: st.DataObject, member: str, groups: list[str], *, double: bool) -> None:
        """One signature for several commands, of which some may be known, or stand twice."""
        wishes = self.wishes(data)
        bodies = [getattr(wishes, group)(member) for group in groups]
        member = self.signer(data, member, bodies[0])
        items = [(f"b-{self.count}-{number}", body) for number, body in enumerate(bodies)]
        if double:
            items.append(items[0])
        self.count += 1
        note(f"{member} signs {items!r}")
        self.town.send(self.town.batch(self.book, member, items))

    @rule(data=st.data(), members=st.lists(TRADERS, min_size=2, max_size=4))
    def together(self, data: st.DataObject, members: list[str]) -> None:
        """Several commands that are decided in one turn."""
        orders, book = [], self.book
        for number, member in enumerate(members):
            body = getattr(self.wishes(data), data.draw(st.sampled_from(GROUPS)))(member)
            signer = self.signer(data, member, body)
            note(f"{signer} asks at once for {body!r}")
            orders.append(self.town.order(book, signer, f"d-{self.count}-{number}", body))
        self.count += 1
        self.town.send(*orders)

    @rule(
        member=st.sampled_from(sorted(UNITS)),
        bids=st.lists(st.integers(1, 700), min_size=1, max_size=4),
        limits=st.lists(st.sampled_from((1_999, 2_000, 2_000, 2_001, 3_333)), min_size=5),
        part=st.sampled_from((1, 1, 2, 3)),
        exactly=st.booleans(),
    )
    def meet(
        self, member: str, bids: list[int], limits: list[int], part: int, *, exactly: bool
    ) -> None:
        """Who has energy of a slot offers of the newest; others bid for it."""
        book = self.names[0]
        mirror = self.town.mirror(book)
        slots = [at for (at, who), left in mirror.in_slot.items() if who == member and left > part]
        if not slots:
            return
        slot = max(slots)
        offered = mirror.in_slot[slot, member] // part
        bids = [offered, *bids] if exactly else bids
        wanted = [(member, "offer", offered)]
        wanted += [
            (("mill", "farm")[number % 2], "bid", energy_wh)
            for number, energy_wh in enumerate(bids)
        ]
        for (who, side, energy_wh), limit in zip(wanted, limits, strict=False):
            body = PlaceOrder.model_validate(
                {
                    "orderId": f"order-{len(mirror.orders)}",
                    "side": side,
                    "slot": slot,
                    "amount": energy_wh,
                    "pricePerUnit": limit,
                }
            )
            note(f"{who}: {body!r}: {self.order(book, who, body)}")

    @rule(
        member=st.sampled_from(sorted(UNITS)),
        hows=st.lists(st.sampled_from(("give", "sell", "sell", "retire")), min_size=1, max_size=4),
    )
    def spend(self, member: str, hows: list[str]) -> None:
        """Who has a plant keeps no free token, so that a correction finds none."""
        for left, how in zip(range(len(hows), 0, -1), hows, strict=True):
            amount = self.town.mirror(self.names[0]).free("W", member) // left
            self._spend(member, how, amount)

    def _spend(self, member: str, how: str, amount: int) -> None:
        book = self.names[0]
        mirror = self.town.mirror(book)
        bodies: dict[str, Callable[[], Body]] = {
            "give": lambda: TransferEnergy(fromFactoryId=member, toFactoryId="mill", amount=amount),
            "retire": lambda: RetireEnergy(factoryId=member, amount=amount),
            "sell": lambda: CreateTrade(
                tradeId=f"trade-{len(mirror.trades)}",
                sellerId=member,
                buyerId="farm",
                amount=amount,
                pricePerUnit=3_000,
            ),
        }
        self.order(book, member, bodies[how]())

    @rule(back=st.integers(1, 6) | st.integers(1, 40))
    def repeat(self, back: int) -> None:
        """The same bytes once more, soon or much later."""
        if back <= len(self.town.sent):
            self.town.send(self.town.sent[-back])

    @rule(data=st.data(), back=st.integers(1, 6), group=st.sampled_from(GROUPS))
    def reuse(self, data: st.DataObject, back: int, group: str) -> None:
        """An id once more, for something else."""
        if back > len(self.town.sent):
            return
        played, _, asked, bodies = self.town.sent[-back]
        if played.is_register or bodies:
            return
        body = getattr(Wishes(self.town, played.name, data.draw), group)(asked.member)
        self.town.send(self.town.order(played.name, asked.member, asked.id, body))

    @rule(
        data=st.data(),
        member=st.sampled_from((*FOUNDERS, "ghost")),
        group=st.sampled_from(GROUPS),
        fault=st.sampled_from(
            (
                {"signer": "thief"},
                {"signer": "farm"},
                {"book": "elsewhere"},
                {"late": timedelta(seconds=1)},
                {"late": timedelta(hours=-24)},
                {"late": timedelta(hours=-23)},
            )
        ),
    )
    def ask_wrongly(
        self, data: st.DataObject, member: str, group: str, fault: dict[str, Any]
    ) -> None:
        """With another's key, for another book, too early or too late."""
        body = getattr(self.wishes(data), group)(member)
        self.order(self.book, member, body, **fault)

    @rule(
        member=st.sampled_from((*FOUNDERS, *LATE, "anna", "ghost")),
        kind=st.sampled_from(
            ("suspend", "suspend", "restore", "restore", "rotate", "roles", "register", "register")
        ),
        asks=st.sampled_from(("anna", "anna", "anna", "mill")),
    )
    def ask_register(self, member: str, kind: str, asks: str) -> None:
        """Somebody is let in, suspended, restored, or has another key."""
        new_key = f"{member}-{self.count}"
        bodies: dict[str, Callable[[], Body]] = {
            "suspend": lambda: SuspendMember(member=member, suspended=True, reason="test"),
            "restore": lambda: SuspendMember(member=member, suspended=False, reason="test"),
            "rotate": lambda: RotateKey(member=member, address=key_of(new_key).address),
            "roles": lambda: GrantRoles(member=member, roles=("factory", "device")),
            "register": lambda: self.factory(member, self.book, 700, 300),
        }
        if self.order("register", asks, bodies[kind]()) and kind == "rotate":
            self.town.keys[member] = new_key

    @rule(count=st.sampled_from((1, None)))
    def learn(self, count: int | None) -> None:
        """A book reads on in the register."""
        self.town.learn(self.book, count)
        self.town.settle(self.book)
        self.count += 1

    @rule(by=STEPS, reach=st.sampled_from((True, True, True, False)), settle=st.booleans())
    def advance(self, by: timedelta, *, reach: bool, settle: bool) -> None:
        """Time goes on; a command may come before what the time brings is decided."""
        self.town.advance(by, reach=reach)
        for name in self.names if settle else ():
            self.town.settle(name)

    @rule(
        meters=st.sets(st.sampled_from(("pv", "pv", "load-h-sun", "load-h-wind")), min_size=1),
        energy=st.lists(st.sampled_from((0, 1, 7, 100, 100, 333, 1_000)), min_size=3, max_size=3),
    )
    def measure(self, meters: set[str], energy: list[int]) -> None:
        """Meters report what they have not reported, the last two hours of it."""
        for value, meter in zip(energy, sorted(meters), strict=False):
            ended = (self.town.now - START) // QUARTER
            self.quarters[meter] = max(self.quarters[meter], ended - 8)
            if count := ended - self.quarters[meter]:
                self.read(meter, *(value + number for number in range(count)))
        self.town.settle(self.names[0])

    @rule(data=st.data(), meter=st.sampled_from(("pv", "pv", "load-h-sun", "load-h-wind")))
    def correct(self, data: st.DataObject, meter: str) -> None:
        """Some quarters that were read turn out to be higher or lower."""
        known = self.town.mirror(self.names[0]).read
        recent = self.town.now - timedelta(days=35)
        starts = sorted(at for of, at in known if of == meter and at >= recent)
        if not starts:
            return
        first = data.draw(st.sampled_from(starts))
        chosen = [first]
        while len(chosen) < 3 and chosen[-1] + QUARTER in starts:
            chosen.append(chosen[-1] + QUARTER)
        shares = [data.draw(st.sampled_from((-2, -1, -1, 0, 1))) for _ in chosen]
        deltas = [share * known[meter, at] // 2 for share, at in zip(shares, chosen, strict=True)]
        name = "generated" if meter == "pv" else "consumed"
        fact = ReadingCorrected.model_validate(
            {
                "meter": meter,
                "correction": f"anna.fix-{self.count}",
                "first_interval_at": chosen[0],
                "interval_s": 900,
                "registers": ({"name": name, "deltas_wh": tuple(deltas)},),
                "reason": "test",
                "command": ANY_COMMAND_SIGNED,
            }
        )
        note(f"{meter} is corrected by {deltas} from {chosen[0]} on")
        self.metered(fact, meter)
        for at, delta in zip(chosen, deltas, strict=True):
            known[meter, at] += delta
        self.town.settle(self.names[0])

    @rule(from_snapshot=st.booleans())
    def begin_again(self, *, from_snapshot: bool) -> None:
        """The process ends and the next one goes on."""
        self.town.books[self.book].begin_again(from_snapshot=from_snapshot)
        self.count += 1

    def teardown(self) -> None:
        """Whatever was recorded, folded from nothing, gives the same; a snapshot does, too."""
        if hasattr(self, "town") and sys.exc_info()[0] is None:
            for name in self.names:
                self.town.learn(name)
                self.town.settle(name)
            self.both_agree()
            for played in (self.town.register, *self.town.books.values()):
                for from_snapshot in (False, True):
                    played.check_restart(from_snapshot=from_snapshot)

    # -- what must hold ----------------------------------------------------------------------

    @invariant()
    def both_agree(self) -> None:
        if not hasattr(self, "town"):
            return
        type(self).steps += 1
        for name, played in self.town.books.items():
            check_book(self.town.mirror(name), played)


def check_book(mirror: model.Book, played: Played) -> None:
    """Same balances as the model's, and the laws of the domain rules, section 10."""
    assert isinstance(played.rules, Book)
    balances = dict(played.rules.books._balances)
    assert balances == mirror.balances
    assert all(amount > 0 for amount in balances.values())
    sums: Counter[tuple[str, bool]] = Counter()
    for (asset, account), amount in balances.items():
        sums[asset, account.split(":")[0] in DEBIT] += amount
    for asset in {asset for asset, _ in balances}:
        assert sums[asset, True] == sums[asset, False], asset
    facts = [each.fact for each in played.history.facts if each.stream == played.stream]
    cleared = [
        (each.slot, each.price_stroops_per_kwh, each.energy_wh)
        for each in facts
        if isinstance(each, SlotCleared)
    ]
    assert cleared == mirror.cleared
    held = {place: n for place, n in balances.items() if place[1].startswith("hold:")}
    assert held == mirror.holds()


class TwoBooks(Books):
    """Two books that follow one register and one clock, and each other whenever it happens."""

    names: tuple[str, ...] = ("hill", "dale")

    @rule(data=st.data(), member=TRADERS)
    def send_over(self, data: st.DataObject, member: str) -> None:
        """Money for another book."""
        body = self.wishes(data).to_other(member)
        yes = self.order(self.book, member, body)
        note(f"{member} sends {body!r}: {yes}")

    @rule(
        to=st.sampled_from(("hill", "dale")),
        count=st.sampled_from((1, 1, None)),
        settle=st.booleans(),
    )
    def deliver(self, to: str, count: int | None, *, settle: bool) -> None:
        """A book reads on in the other's stream; the next turn may come later."""
        (of,) = {*self.names} - {to}
        self.town.open_letters(to, of, count)
        if settle:
            self.town.settle(to)

    @invariant()
    def nothing_is_lost_between(self) -> None:
        if hasattr(self, "town"):
            for here, there in (self.names, self.names[::-1]):
                check_between(self.town.mirror(here), self.town.mirror(there))

    def teardown(self) -> None:
        if hasattr(self, "town") and sys.exc_info()[0] is None:
            for _ in range(3):
                for name in self.names:
                    self.town.learn(name)
                    self.town.settle(name)
                    self.deliver(name, None, settle=True)
            for here, there in (self.names, self.names[::-1]):
                check_between(self.town.mirror(here), self.town.mirror(there), is_over=True)
            self.both_agree()
        super().teardown()


def check_between(here: model.Book, there: model.Book, *, is_over: bool = False) -> None:
    """Transit to a book <= what it received from us <= transit and what we hold for it."""
    known = there.people
    for asset in ("U:TOKEN", "U:USD"):
        transit, held = here.of(asset, f"transit:{there.book}"), 0
        for each in here.transfers.values():
            if each.state == "held" and each.to_book == there.book and each.legs[0][1] == asset:
                held += each.legs[0][2]
                assert not is_over or each.legs[0][0] not in known, "it should have arrived"
        received = there.of(asset, f"received:{here.book}")
        assert transit <= received <= transit + held
        assert not is_over or transit == received


def play(machine: type[Books], examples: int, steps: int, number: int | None = None) -> None:
    """Play random histories; without a number of the seed always the same."""
    began, machine.steps = time.monotonic(), 0
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=number is None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine if number is None else seed(number)(machine), settings=chosen)
    if number is not None:
        counts = f"{examples} histories, {machine.steps} steps"
        taken = time.monotonic() - began
        print(f"{machine.__name__}: {counts}, seed {number}, {taken:.0f} s")  # noqa: T201


def test_a_book_is_as_the_second_model_says() -> None:
    play(Books, 40, 40)


def test_two_books_are_as_the_second_model_says() -> None:
    play(TwoBooks, 25, 40)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_book_is_as_the_second_model_says_in_full() -> None:
    play(Books, 2_000, 50, SEED)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_books_are_as_the_second_model_says_in_full() -> None:
    play(TwoBooks, 2_000, 50, SEED)
