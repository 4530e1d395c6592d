"""Authority, time and books through a snapshot: nothing that decides anything gets lost."""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import FundsDeposited, OwnershipTransferred, TitleMove
from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.jws import parse
from libs.events.membership import KeyRotated, MemberSuspended, RoleGranted
from libs.events.positions import write_cause
from libs.events.timekeeping import TimeReached
from libs.rules.authority import Authority
from libs.rules.posting import Posting
from libs.rules.postings import Books, is_debit_account
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import HeliographError
from tests.dumping import like, through_snapshot
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, History, key_of, signed

OWN, MEMBERS, READINGS, METERS = "LEDGER_valley", "MEMBERS", "READINGS_0", "METERS_0"
PEOPLE = ("anna", "ines", "ivo")


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


def deposit(amount: int) -> Body:
    return DepositFunds(member="ines", asset="USD", amount_stroops=amount)


class Told:
    """Makes a history out of random numbers."""

    def __init__(self) -> None:
        self.history = History()
        self.hours = 0
        self.used: set[tuple[str, int]] = set()

    def tell(self, kind: int, who: str, number: int) -> None:
        match kind:
            case 0:
                self.history.register(who, "approver", "investor")
            case 1:
                self.hours += number
                self.history.advance(hour(self.hours))
            case 2:
                self._member(
                    RoleGranted(member=who, roles=("recipient",), command=ANY_COMMAND_SIGNED)
                )
            case 3:
                address = key_of(f"{who}-{number}").address
                self._member(KeyRotated(member=who, address=address, command=ANY_COMMAND_SIGNED))
            case 4:
                suspended = MemberSuspended(
                    member=who,
                    suspended=bool(number % 2),
                    reason="lost-key",
                    command=ANY_COMMAND_SIGNED,
                )
                self._member(suspended)
            case _:
                self._accept(who, number)

    def _member(self, fact: RoleGranted | KeyRotated | MemberSuspended) -> None:
        known = [each for each in self.history.facts if each.stream == MEMBERS]
        if any(each.envelope.key == fact.member for each in known):
            self.history.record(MEMBERS, fact.member, fact)

    def _accept(self, who: str, number: int) -> None:
        """A new command that led to two facts."""
        if (who, number) in self.used:
            return
        self.used.add((who, number))
        text = signed(who, f"c{number}", deposit(number + 1), "valley", hour(self.hours))
        name = f"{who}.c{number}"
        fact = FundsDeposited(member=who, asset="USD", amount_stroops=number + 1, command=text)
        first = self.history.record(OWN, who, fact, fact_id=f"{name}.deposit")
        moved = OwnershipTransferred(
            payment=name,
            system="sun",
            holding="h",
            agreement="a",
            to_member=who,
            moves=(TitleMove(member=who, shares=1),),
            own_shares=1,
            holding_units=1,
        )
        cause = write_cause(first.position, first.envelope.id)
        self.history.record(OWN, who, moved, fact_id=f"{name}.title", cause=cause)


def authority() -> Authority:
    first = key_of("first").address
    return Authority(deployment=DEPLOYMENT, service="ledger", book="valley", first_approver=first)


def verdict(rules: Authority, who: str, number: int, at: datetime, signer: str) -> object:
    """What the authority says of a command, in a form that can be compared."""
    text = signed(who, f"c{number}", deposit(number + 1), "valley", at, signer=signer)
    try:
        return rules.judge(parse(text, "hg-command+jws"), text, {})
    except HeliographError as error:
        return error.code


TELLING = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(PEOPLE), st.integers(0, 20)), max_size=25
)


@settings(max_examples=80, deadline=None)
@given(TELLING, st.floats(0, 1))
def test_an_authority_goes_on_from_a_snapshot_as_if_there_had_been_none(
    telling: list[tuple[int, str, int]], part: float
) -> None:
    told = Told()
    for kind, who, number in telling:
        told.tell(kind, who, number)
    facts = told.history.facts

    def fold(rules: Authority, recorded: Recorded[Fact]) -> None:
        rules.evolve(recorded, own=recorded.stream == OWN)

    whole, again = through_snapshot(authority, fold, facts, round(part * len(facts)))

    assert like(again) == like(whole)
    assert again.now == whole.now
    for who in PEOPLE:
        assert again.member(who) == whole.member(who)
        for number in range(0, 21, 4):
            for signer in (who, f"{who}-{number}"):
                asked = who, number, hour(told.hours), signer
                assert verdict(again, *asked) == verdict(whole, *asked)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(("advance", OWN, READINGS, "read")), st.integers(1, 3))),
    st.floats(0, 1),
)
def test_a_timekeeper_goes_on_from_a_snapshot_as_if_there_had_been_none(
    telling: list[tuple[str, int]], part: float
) -> None:
    history, at = History(), 0
    for what, hours in telling:
        if what == "advance":
            at += hours
            history.advance(hour(at))
        elif what == "read":
            history.register(f"member-{len(history.facts)}", "investor")
        elif what == READINGS:
            history.reach(READINGS, hour(max(at - hours, 0)))
        else:
            history.record(OWN, "time", TimeReached(to=hour(max(at - hours, 0))))

    def fresh() -> Timekeeper:
        return Timekeeper(OWN, (READINGS,), follows=(MEMBERS, "PRICES"))

    cut = round(part * len(history.facts))
    whole, again = through_snapshot(fresh, Timekeeper.evolve, history.facts, cut)

    assert like(again) == like(whole)
    assert (again.now, again.common, again.due()) == (whole.now, whole.common, whole.due())


ACCOUNTS = ("issuer:USD", "custody:x", "wallet:ann", "wallet:bob", "hold:t1")


def possible(books: Books, debit: str, credit: str, amount: int) -> list[Posting]:
    """A posting that breaks no law, perhaps a smaller one, or none."""
    limits = [amount]
    if not is_debit_account(debit):
        limits.append(books.balance("U:USD", debit))
    if is_debit_account(credit):
        limits.append(books.balance("U:USD", credit))
    least = min(limits)
    return [Posting("U:USD", debit, credit, least)] if least and debit != credit else []


MOVES = st.lists(
    st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.integers(1, 5)), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(MOVES, st.floats(0, 1))
def test_books_go_on_from_a_snapshot_and_keep_no_empty_accounts(
    moves: list[tuple[str, str, int]], part: float
) -> None:
    books, entries = Books(), []
    for debit, credit, amount in moves:
        entries.append(possible(books, debit, credit, amount))
        books.post(entries[-1])

    whole, again = through_snapshot(Books, Books.post, entries, round(part * len(entries)))

    assert like(again) == like(whole) == like(books)
    assert again.totals() == whole.totals()
    for account in ACCOUNTS:
        assert again.balance("U:USD", account) == whole.balance("U:USD", account)
    kept = like(whole)["balances"]
    assert len(kept) == sum(whole.balance("U:USD", account) > 0 for account in ACCOUNTS)


def test_books_do_not_grow_with_what_has_come_and_gone() -> None:
    books = Books()
    books.post([Posting("U:USD", "issuer:USD", "wallet:ann", 10)])
    before = like(books)
    for number in range(100):
        books.post([Posting("U:USD", "wallet:ann", f"hold:t{number}", 10)])
        books.post([Posting("U:USD", f"hold:t{number}", "wallet:ann", 10)])

    assert like(books) == before
