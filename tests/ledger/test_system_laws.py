"""Laws of raising, building and handing over, over random histories, beside a second model.

The model is plain arithmetic over what was asked for and not refused. It shares no rule with the
book: who put in what, whose units they are, what was paid out, who was promised what.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.command import Body
from libs.events.fact import Fact
from libs.events.system_commands import (
    AcceptHolding,
    AcceptRaise,
    AcceptShares,
    AdvanceStage,
    CancelRaise,
    DepositCover,
    OfferHolding,
    OfferShares,
    PayContractor,
)
from libs.events.systems import (
    ContractorPaid,
    CoverReleased,
    InvestmentRefunded,
    RaiseCancelled,
    SharesOffered,
    StageAdvanced,
)
from libs.rules.stages import STAGES, walk
from libs.runtime.failures import HeliographError
from services.ledger.domain import Book
from tests.dumping import like, through_snapshot
from tests.histories import Stage
from tests.ledger.raises import (
    MONEY,
    PRICE,
    SEED,
    UNITS,
    advance,
    fresh_book,
    full,
    hash_of,
    hold,
    in_stage,
    invest,
    operating,
    rules_of,
    walked,
)

INVESTORS = ("ann", "bob", "cid")
THREE_DAYS_S = 259_200


@dataclass
class Model:
    """What must be where, by plain arithmetic."""

    wallets: Counter[str] = field(default_factory=Counter)
    escrow: Counter[str] = field(default_factory=Counter)
    at_risk: int = 0
    reserved: Counter[str] = field(default_factory=Counter)
    title: Counter[str] = field(default_factory=Counter)
    cover: int = 0
    build: int = 0
    full_since: int | None = None
    seconds: int = 0

    @property
    def raised(self) -> int:
        return self.escrow.total()

    def invested(self, member: str, amount: int, *, is_seed: bool, is_at_risk: bool) -> None:
        self.wallets[member] -= amount
        self.escrow[member] += amount
        self.at_risk += amount * is_at_risk
        factor = Fraction(SEED.factor_ppm, 10**6) if is_seed else Fraction(1)
        self.reserved[member] += round(amount * factor)  # `round` of Python is half to even

    def fill(self, *, is_open: bool) -> None:
        if is_open and self.raised == PRICE and self.full_since is None:
            self.full_since = self.seconds

    def accept(self) -> None:
        self.build, self.title = self.raised, self.reserved
        self.escrow, self.reserved, self.full_since = Counter(), Counter(), None

    def fail(self, risk: Counter[str]) -> None:
        """Everyone has back what he put in; what was signed at risk, the proposer has."""
        self.wallets += self.escrow
        self.wallets -= risk
        self.wallets["dev"] += self.at_risk
        self.wallets["guard"] += self.cover
        self.cover, self.full_since = 0, None
        self.escrow, self.reserved = Counter(), Counter()


class World:
    """A book and its model, and the same wishes for both."""

    def __init__(self) -> None:
        self.stage = in_stage(0, cover_stroops=5)
        self.model = Model(wallets=Counter(dict.fromkeys((*INVESTORS, "guard", "eve"), MONEY)))
        self.model.wallets["next"] = MONEY
        self.risk: Counter[str] = Counter()
        self.offers: list[SharesOffered] = []
        self.number = 0

    @property
    def rules(self) -> Book:
        return rules_of(self.stage)

    def ask(self, member: str, body: Body) -> list[Fact]:
        """What was decided; nothing when it was refused."""
        self.number += 1
        with suppress(HeliographError):
            facts = self.stage.when(member, f"wish-{self.number}", body)
            return facts + self.stage.follow_up()
        return []

    def settle(self, facts: list[Fact]) -> None:
        """Follow the raise where it ended."""
        if any(isinstance(fact, RaiseCancelled) for fact in facts):
            self.model.fail(self.risk)

    def check(self) -> None:
        """The laws, and the book beside the model."""
        books, model = self.rules.books, self.model
        for debits, other_side in books.totals().values():
            assert debits == other_side
        assert books.balance("U:USD", "issuer:USD") == MONEY * 6
        for member in {*model.wallets, "builder", "dev"}:
            assert books.balance("U:USD", f"wallet:{member}") == model.wallets[member]
        for member in INVESTORS:
            assert books.balance("U:USD", f"escrow:sun:{member}") == model.escrow[member]
            assert books.balance("T:sun", f"reserved:sun:{member}") == model.reserved[member]
        for member in (*INVESTORS, "eve"):
            assert books.balance("T:sun", f"title:sun:{member}") == model.title[member]
        assert books.balance("U:USD", "build:sun") == model.build
        assert books.balance("U:USD", "cover:sun:guard") == model.cover
        units = self.rules.systems["sun"].units
        assert books.balance("T:sun", "issued:sun") == units
        placed = model.reserved.total() + model.title.total()
        assert books.balance("T:sun", "approver:sun") == units - placed


Wish = Callable[[World, int], None]


def put_in(world: World, amount: int) -> None:
    """Invest a part, or all that is left, and sometimes more than that."""
    member, system = INVESTORS[amount % 3], world.rules.systems["sun"]
    left = PRICE - world.model.raised
    wanted = max(1, left if amount % 5 == 0 else amount)
    risk = amount % 4 == 0
    if world.ask(member, invest(wanted, is_at_risk=risk or None)):
        is_seed = system.stage < 4
        world.model.invested(member, wanted, is_seed=is_seed, is_at_risk=risk)
        world.risk[member] += wanted * risk
        world.model.fill(is_open=system.stage == 4)
        assert world.model.raised <= PRICE
        assert is_seed or not risk


def go_on(world: World, amount: int) -> None:
    """Leave the stage as its rule wants it."""
    stage = world.rules.systems["sun"].stage
    for leaver, body in walk("sun", stage, stage + 1, hash_of):
        world.ask("dev" if leaver == "proposer" else "approver", body)
    world.model.fill(is_open=world.rules.systems["sun"].stage == 4)


def jump(world: World, amount: int) -> None:
    """Try to reach any other stage, with what any stage asks for."""
    now, rule = world.rules.systems["sun"].stage, STAGES[amount % 10]
    to_stage = amount // 10 % 10
    if to_stage == now + 1:
        return
    of_stage = AdvanceStage(system="sun", to_stage=to_stage, checklist=(), documents=())
    for _, body in walk("sun", rule.stage, rule.stage + 1, hash_of):
        of_stage = body.model_copy(update={"to_stage": to_stage})
    for member in ("dev", "approver", "builder"):
        assert not world.ask(member, of_stage)


def wait(world: World, amount: int) -> None:
    """Let time pass: some hours, or up to one second around the deadline."""
    since = world.model.full_since
    ahead = amount * 600
    if since is not None and amount % 2:
        ahead = max(1, since + THREE_DAYS_S - 1 + amount % 3 - world.model.seconds)
    world.model.seconds += ahead
    before = len(world.stage.history.facts)
    advance(world.stage, world.model.seconds)
    facts = [each.fact for each in world.stage.history.facts[before:]]
    is_over = since is not None and world.model.seconds >= since + THREE_DAYS_S
    assert any(isinstance(fact, RaiseCancelled) for fact in facts) == is_over
    world.settle(facts)


def take(world: World, amount: int) -> None:
    """The recipient accepts."""
    model = world.model
    can = model.full_since is not None and model.cover >= 5
    facts = world.ask("home", AcceptRaise(system="sun"))
    assert bool(facts) == can
    if facts:
        model.accept()


def give_up(world: World, amount: int) -> None:
    """An approver cancels, now and then."""
    if amount % 8 == 0:
        world.settle(world.ask("approver", CancelRaise(system="sun")))


def cover(world: World, amount: int) -> None:
    """A guarantor deposits."""
    if world.ask("guard", DepositCover(system="sun", amount_stroops=amount)):
        world.model.wallets["guard"] -= amount
        world.model.cover += amount


def pay(world: World, amount: int) -> None:
    """One of the three who may, or may not, confirm one of three payouts."""
    member = ("home", "approver", "second", "bob")[amount % 4]
    body = PayContractor(
        system="sun",
        payout=f"p{amount % 3}",
        contractor="builder",
        amount_stroops=100 + amount % 3 * 300,
    )
    for fact in world.ask(member, body):
        if isinstance(fact, ContractorPaid):
            world.model.build -= fact.amount_stroops
            world.model.wallets["builder"] += fact.amount_stroops


def trade(world: World, amount: int) -> None:
    """An investor offers title, and the other takes it, or an earlier offer."""
    seller, buyer = INVESTORS[amount % 3], ("eve", *INVESTORS)[amount % 4]
    body = OfferShares(
        system="sun",
        to_member=buyer,
        shares=amount,
        price_stroops=amount // 2,
        expires_at=world.stage.now.replace(year=2027),
    )
    world.offers += [fact for fact in world.ask(seller, body) if isinstance(fact, SharesOffered)]
    if not world.offers:
        return
    offer = world.offers[amount % len(world.offers)]
    if world.ask(offer.to_member, AcceptShares(offer=offer.offer)):
        world.model.title[offer.from_member] -= offer.shares
        world.model.title[offer.to_member] += offer.shares
        world.model.wallets[offer.to_member] -= offer.price_stroops
        world.model.wallets[offer.from_member] += offer.price_stroops
        world.offers.remove(offer)


WISHES: tuple[Wish, ...] = (
    put_in, put_in, put_in, go_on, go_on, jump, wait, take, give_up, cover, pay, pay, trade,
)  # fmt: skip

SEEDED = [(go_on, 1), (put_in, 3), (put_in, 4), (put_in, 101)]
OPEN = [*SEEDED, (go_on, 1), (go_on, 1), (go_on, 1), (cover, 5)]
FILLED = [*OPEN, (put_in, 202), (put_in, 5)]
BUILT = [*FILLED, (take, 1)]
"""Beginnings: the seed round, the raise, one that is full, one that was accepted."""

STORY = st.builds(
    lambda before, after: [*before, *after],
    st.sampled_from([[], SEEDED, OPEN, FILLED, FILLED, BUILT, BUILT]),
    st.lists(st.tuples(st.sampled_from(WISHES), st.integers(1, 400)), max_size=25),
)


def test_the_beginnings_of_the_stories_lead_where_they_say() -> None:
    """Else most histories would stay in the first stages, and the laws say little."""
    reached = []
    for beginning in (SEEDED, OPEN, FILLED, BUILT):
        world = World()
        for wish, amount in beginning:
            wish(world, amount)
        reached.append((world.rules.systems["sun"].stage, world.model.raised))
    assert reached == [(1, 108), (4, 108), (4, PRICE), (5, 0)]


@settings(max_examples=60, deadline=None)
@given(STORY)
def test_money_and_title_are_where_plain_arithmetic_says(story: list[tuple[Wish, int]]) -> None:
    world = World()
    for wish, amount in story:
        wish(world, amount)
        world.check()
    stages = [
        (each.fact.from_stage, each.fact.to_stage)
        for each in world.stage.history.facts
        if isinstance(each.fact, StageAdvanced)
    ]
    assert stages == [(number, number + 1) for number in range(len(stages))]


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.integers(1, 200), min_size=1, max_size=12),
    risky=st.sets(st.integers(0, 11)),
    by_clock=st.booleans(),
)
def test_whoever_invested_is_refunded_to_the_stroop(
    parts: list[int], risky: set[int], *, by_clock: bool
) -> None:
    stage = in_stage(1, cover_stroops=None)
    at_risk: Counter[str] = Counter()
    for number, amount in enumerate(parts):
        member, risk = INVESTORS[number % 3], number in risky
        with suppress(HeliographError):
            stage.when(member, f"seed-{number}", invest(amount, is_at_risk=risk or None))
            at_risk[member] += amount * risk
    walked(stage, 1, 4)
    left = PRICE - rules_of(stage).systems["sun"].escrow_stroops
    stage.when("cid", "rest", invest(left))
    if by_clock:
        advance(stage, THREE_DAYS_S)
    else:
        stage.when("second", "cancel", CancelRaise(system="sun"))
        stage.follow_up()
    books = rules_of(stage).books
    for member in INVESTORS:
        assert books.balance("U:USD", f"wallet:{member}") == MONEY - at_risk[member]
    assert books.balance("U:USD", "wallet:dev") == at_risk.total()
    assert books.accounts("U:USD", "escrow:") == {}
    assert books.accounts("T:sun", "") == {"issued:sun": PRICE, "approver:sun": PRICE}


@settings(max_examples=40, deadline=None)
@given(STORY, st.floats(0, 1))
def test_systems_go_on_from_a_snapshot_as_if_there_had_been_none(
    story: list[tuple[Wish, int]], part: float
) -> None:
    world = World()
    for wish, amount in story:
        wish(world, amount)
    facts = world.stage.history.facts
    whole, again = through_snapshot(fresh_book, Book.evolve, facts, round(part * len(facts)))
    for name in ("systems", "raising", "payouts", "handover"):
        assert like(getattr(whole, name)) == like(getattr(again, name))
    assert whole.due() == again.due()


def test_a_refund_and_a_release_are_due_after_a_restart_in_between() -> None:
    stage = full()
    stage.when("approver", "cancel", CancelRaise(system="sun"))
    made = restarted(stage).follow_up()
    assert [type(fact) for fact in made] == [InvestmentRefunded, InvestmentRefunded, CoverReleased]


def restarted(stage: Stage) -> Stage:
    """The same book, gone through a snapshot."""
    facts = stage.history.facts
    _, again = through_snapshot(fresh_book, Book.evolve, facts, len(facts))
    later = Stage(again, stage.own, stage.book, stage.history)
    later.now = stage.now
    return later


def test_no_deadline_is_lost_by_a_restart() -> None:
    raised = restarted(full())
    advance(raised, THREE_DAYS_S)
    assert rules_of(raised).systems["sun"].cancelled

    stage = operating()
    stage.when("home", "offer", OfferHolding(holding="h", to_member="next"))
    stage.when("next", "take", AcceptHolding(holding="h"))
    moved = restarted(stage)
    advance(moved, 86_400)
    assert rules_of(moved).systems.holdings["h"].recipient == "next"


def test_units_of_title_are_the_units_of_all_holdings_and_of_the_system() -> None:
    stage = full()
    stage.when("home", "accept", AcceptRaise(system="sun"))
    for number, units in enumerate((1, 300, UNITS - 301)):
        stage.when("approver", f"hold-{number}", hold(units, f"h{number}"))
    rules = rules_of(stage)
    titles = rules.books.accounts("T:sun", "title:sun:")
    held = sum(each.units for each in rules.systems.holdings_of("sun"))
    assert sum(titles.values()) == held == rules.systems["sun"].units == UNITS
