"""A book and the register through a snapshot: what they decide afterwards is the same."""

from collections.abc import Callable
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.command import Body
from libs.events.commands import RegisterMember, RotateKey
from libs.events.jws import parse
from libs.events.system_commands import AcceptRaise, ApproveSystem, Pay
from libs.rules.authority import Authority
from libs.rules.dumps import Dumpable
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import HeliographError
from services.ledger.domain import Book
from services.ledger.members import BOOK, Register
from tests.dumping import like, through_snapshot
from tests.histories import DEPLOYMENT, Stage, key_of, signed
from tests.ledger.test_book_rules import (
    LEDGER,
    PRICE,
    book,
    deposit,
    hold,
    invest,
    propose,
    signed_steps,
    with_invoices,
)

Step = Callable[[Stage, int, int], object]


def ask(member: str, body: Callable[[int], Body]) -> Step:
    """A step in which somebody asks for something, and may be refused."""

    def step(stage: Stage, number: int, amount: int) -> None:
        with suppress(HeliographError):
            stage.when(member, f"c{number}", body(amount))

    return step


def bill(stage: Stage, number: int, amount: int) -> None:
    """Billing opens the agreement and issues invoices, once."""
    if not any(fact.stream.startswith("BILLING") for fact in stage.history.facts):
        with_invoices(stage, amount, amount + 1)


def settle_in(stage: Stage, number: int, amount: int) -> None:
    """A system that is funded and held, whatever was there before."""
    steps: list[tuple[str, Body]] = [
        ("dev", propose()),
        ("approver", ApproveSystem(system="sun")),
        *signed_steps("sun", 0, 4),
        ("approver", deposit("ann", PRICE)),
        ("ann", invest(PRICE)),
        ("home", AcceptRaise(system="sun")),
        *signed_steps("sun", 5, 6),
        ("approver", hold()),
        *signed_steps("sun", 6, 7),
        ("approver", deposit("home", PRICE)),
    ]
    for place, (member, body) in enumerate(steps):
        with suppress(HeliographError):
            stage.when(member, f"s{number}-{place}", body)


def walk_on(stage: Stage, number: int, amount: int) -> None:
    """One of the moons goes through its first stages as far as it can."""
    for place, (member, body) in enumerate(signed_steps(f"moon-{amount % 3}", 0, 4)):
        with suppress(HeliographError):
            stage.when(member, f"w{number}-{place}", body)


def later(stage: Stage, number: int, amount: int) -> None:
    day = (stage.now - stage.history.facts[0].envelope.time).days
    stage.advance(max(day, 0) + 1 + amount % 2, *(["READINGS_0"] if amount % 3 else []))


STEPS: tuple[Step, ...] = (
    settle_in,
    bill,
    later,
    ask("dev", lambda amount: propose(system=f"moon-{amount % 3}")),
    ask("approver", lambda amount: ApproveSystem(system=f"moon-{amount % 3}")),
    walk_on,
    walk_on,
    ask("approver", lambda amount: deposit("bob", amount)),
    ask("bob", lambda amount: invest(amount, system=f"moon-{amount % 3}")),
    ask("home", lambda amount: AcceptRaise(system="moon-0")),
    ask("approver", lambda amount: hold(amount, holding=f"h-{amount}", system="moon-0")),
    ask("home", lambda amount: Pay(agreement="agr", amount_stroops=amount)),
)

STORY = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 300)), max_size=14)


def fresh_book() -> Book:
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
        timekeeper=Timekeeper(LEDGER, ("READINGS_0",)),
        stream=LEDGER,
    )


def verdicts(rules: Book | Register, stage: Stage, asked: list[tuple[str, Body]]) -> list[object]:
    """What the rules answer to commands of every kind, and what is due."""
    found: list[object] = [rules.due()]
    for number, (member, body) in enumerate(asked):
        text = signed(member, f"probe-{number}", body, stage.book, stage.now)
        try:
            order, _ = rules.authority.judge(parse(text, "hg-command+jws"), text, stage.read())
            assert order is not None
            found.append(rules.decide(order))
        except HeliographError as error:
            found.append((error.code, error.message))
    return found


@settings(max_examples=60, deadline=None)
@given(STORY, st.floats(0, 1))
def test_a_book_goes_on_from_a_snapshot_as_if_there_had_been_none(
    story: list[tuple[Step, int]], part: float
) -> None:
    stage = book()
    for number, (step, amount) in enumerate(story):
        step(stage, number, amount)
    facts = stage.history.facts

    whole, again = through_snapshot(fresh_book, Book.evolve, facts, round(part * len(facts)))

    assert like(again) == like(whole)
    asked: list[tuple[str, Body]] = [
        ("home", Pay(agreement="agr", amount_stroops=7)),
        ("dev", propose(system="moon-1")),
        ("approver", ApproveSystem(system="moon-1")),
        ("bob", invest(5, system="moon-2")),
        ("home", AcceptRaise(system="moon-2")),
        ("approver", hold(1, holding="h-1", system="sun")),
        ("approver", deposit("ann", 5)),
    ]
    assert verdicts(again, stage, asked) == verdicts(whole, stage, asked)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(("ann", "bob")), st.integers(0, 3), st.booleans())),
    st.floats(0, 1),
)
def test_the_register_goes_on_from_a_snapshot_as_if_there_had_been_none(
    story: list[tuple[str, int, bool]], part: float
) -> None:
    def fresh() -> Register:
        authority = Authority(
            deployment=DEPLOYMENT,
            service="ledger",
            book=BOOK,
            first_approver=key_of("approver").address,
        )
        return Register(authority=authority, stream="MEMBERS")

    def registration(who: str, key: str) -> RegisterMember:
        return RegisterMember(member=who, address=key_of(key).address, roles=("investor",))

    stage = Stage(fresh(), "MEMBERS", BOOK)
    stage.advance(0)
    for number, (who, key, is_new) in enumerate(story):
        name = f"{who}-{key}"
        rotate = RotateKey(member=who, address=key_of(name).address)
        with suppress(HeliographError):
            stage.when("approver", f"c{number}", registration(who, name) if is_new else rotate)
    facts = stage.history.facts

    whole, again = through_snapshot(fresh, Register.evolve, facts, round(part * len(facts)))

    assert isinstance(again, Dumpable)
    assert like(again) == like(whole)
    asked: list[tuple[str, Body]] = [
        ("approver", registration(who, f"{other}-{key}"))
        for who in ("ann", "new")
        for other in ("ann", "bob")
        for key in range(4)
    ]
    assert verdicts(again, stage, asked) == verdicts(whole, stage, asked)
