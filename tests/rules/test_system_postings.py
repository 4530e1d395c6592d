"""What facts of systems post, account by account, as section 11 of the domain rules has it."""

from hypothesis import given
from hypothesis import strategies as st

from libs.events.books import SystemApproved, Terms, TitleMove, UnitMove
from libs.events.fact import Fact
from libs.events.systems import (
    ContractorPaid,
    CoverDeposited,
    CoverReleased,
    HoldingReclaimed,
    InvestmentMade,
    InvestmentRefunded,
    RaiseAccepted,
    SharesTransferred,
)
from libs.rules.posting import Posting
from libs.rules.postings import Books, postings
from tests.histories import ANY_COMMAND_SIGNED as SIGNED

U, T = "U:USD", "T:sun"
COMMON = {"system": "sun", "asset": "USD", "command": SIGNED}


def made(amount: int, units: int) -> InvestmentMade:
    terms = Terms(return_ppm_year=0, minimum_payment_stroops=0)
    return InvestmentMade.model_validate(
        COMMON
        | {"investment": "ann.1", "investor": "ann", "amount_stroops": amount, "units": units}
        | {"round": "seed", "is_at_risk": False, "terms": terms}
    )


def refunded(amount: int, units: int, to_member: str) -> InvestmentRefunded:
    return InvestmentRefunded(
        investment="ann.1",
        system="sun",
        investor="ann",
        asset="USD",
        amount_stroops=amount,
        units=units,
        to_member=to_member,
    )


def test_a_seed_investment_issues_its_uplift_and_reserves_all_its_units() -> None:
    assert postings(made(100, 120)) == (
        Posting(U, "wallet:ann", "escrow:sun:ann", 100),
        Posting(T, "issued:sun", "approver:sun", 20),
        Posting(T, "approver:sun", "reserved:sun:ann", 120),
    )


def test_a_refund_takes_the_uplift_back_and_pays_whom_it_names() -> None:
    assert postings(refunded(100, 120, "dev")) == (
        Posting(U, "escrow:sun:ann", "wallet:dev", 100),
        Posting(T, "reserved:sun:ann", "approver:sun", 120),
        Posting(T, "approver:sun", "issued:sun", 20),
    )


def test_an_accepted_raise_moves_the_cash_and_the_units_which_may_differ() -> None:
    move = UnitMove(member="ann", shares=120, amount_stroops=100)
    fact = RaiseAccepted.model_validate(
        COMMON | {"recipient": "home", "moves": (move,), "units": 120}
    )
    assert postings(fact) == (
        Posting(U, "escrow:sun:ann", "build:sun", 100),
        Posting(T, "reserved:sun:ann", "title:sun:ann", 120),
    )


def test_a_contractor_is_paid_out_of_what_was_raised() -> None:
    fact = ContractorPaid.model_validate(
        COMMON | {"payout": "p", "contractor": "builder", "amount_stroops": 7}
    )
    assert postings(fact) == (Posting(U, "build:sun", "wallet:builder", 7),)


def test_cover_goes_aside_and_comes_back() -> None:
    deposited = CoverDeposited.model_validate(COMMON | {"guarantor": "g", "amount_stroops": 7})
    released = CoverReleased(system="sun", guarantor="g", asset="USD", amount_stroops=5)
    assert postings(deposited) == (Posting(U, "wallet:g", "cover:sun:g", 7),)
    assert postings(released) == (Posting(U, "cover:sun:g", "wallet:g", 5),)


def test_title_moves_one_way_and_its_price_the_other() -> None:
    values = {"offer": "ann.2", "from_member": "ann", "to_member": "bob", "shares": 9}
    sold = SharesTransferred.model_validate(COMMON | values | {"price_stroops": 4})
    given_away = sold.model_copy(update={"price_stroops": 0})
    title = Posting(T, "title:sun:ann", "title:sun:bob", 9)
    assert postings(sold) == (title, Posting(U, "wallet:bob", "wallet:ann", 4))
    assert postings(given_away) == (title,)


def test_own_title_of_a_reclaimed_holding_becomes_ordinary_title() -> None:
    values = {"system": "sun", "holding": "h", "agreement": "agr", "member": "home", "units": 9}
    moves = (TitleMove(member="home", shares=3),)
    fact = HoldingReclaimed.model_validate(values | {"moves": moves, "command": SIGNED})
    assert postings(fact) == (Posting(T, "own:agr", "title:sun:home", 3),)
    assert postings(fact.model_copy(update={"moves": ()})) == ()


@given(st.integers(1, 10**12), st.integers(0, 10**13))
def test_a_refund_undoes_its_investment_in_every_account(amount: int, uplift: int) -> None:
    books = Books()
    approved = SystemApproved(system="sun", shares=amount, command=SIGNED)
    books.post(postings(approved))
    books.post((Posting(U, "issuer:USD", "wallet:ann", amount),))
    before = books.accounts(U, ""), books.accounts(T, "")
    facts: list[Fact] = [made(amount, amount + uplift), refunded(amount, amount + uplift, "ann")]
    for fact in facts:
        books.post(postings(fact))
    assert (books.accounts(U, ""), books.accounts(T, "")) == before
