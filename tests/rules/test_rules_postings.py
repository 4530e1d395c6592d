"""Postings and books: every fact balances per asset, and no account ever crosses its side.

The facts are the golden examples; random histories are drawn by Hypothesis. The account map that is
expected is written out from the domain rules, section 11, and not from the code.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import (
    Cleared,
    FundsDeposited,
    MoneyMove,
    OwnershipTransferred,
    PaymentSettled,
    SystemApproved,
    Terms,
    TitleMove,
    UnitMove,
)
from libs.events.fact import Fact
from libs.events.invoicing import InvoiceIssued, InvoiceLine
from libs.events.repaying import RefundReceived
from libs.events.systems import InvestmentMade, RaiseAccepted
from libs.events.trading import (
    EnergyLeg,
    EnergyMinted,
    EnergyShortfallBooked,
    IntervalEnergy,
    MeterEnergy,
    MoneyLeg,
    TransferPosted,
    TransferReversed,
)
from libs.rules.posting import Posting
from libs.rules.postings import Books, is_debit_account, postings
from tests.histories import ANY_COMMAND_SIGNED as SIGNED
from tools.example_parts import Example
from tools.examples import examples

EXAMPLES = {example.name: example for example in examples()}
POSTING = {
    "FundsDeposited",
    "SystemApproved",
    "InvestmentMade",
    "InvestmentRefunded",
    "RaiseAccepted",
    "ContractorPaid",
    "CoverDeposited",
    "CoverReleased",
    "SharesTransferred",
    "HoldingReclaimed",
    "InvoiceIssued",
    "PaymentSettled",
    "OwnershipTransferred",
    "FundsReceived",
    "FundsSuspended",
    "SuspenseSettled",
    "FundsWithdrawn",
    "CreditApplied",
    "CreditRefunded",
    "ReturnAccrued",
    "CreditNoteSettled",
    "RefundReceived",
    "PrepaidApplied",
    "InvoiceCapped",
    "HoldingOwned",
    "FirstLossCovered",
    "GridEnergySold",
    "GridProceedsReceived",
    "EnergyMinted",
    "EnergyShortfallBooked",
    "EnergyTransferred",
    "EnergyRetired",
    "TradeCreated",
    "TradeExecuted",
    "TradeCancelled",
    "TradeExpired",
    "OrderPlaced",
    "OrderWithdrawn",
    "TransferReserved",
    "TransferPosted",
    "TransferVoided",
    "TransferReversed",
}
SILENT = {"TransferVoided.v1", "HoldingOwned.v1"}
"""Examples of such facts that move nothing all the same: it was held in the other book, or nothing
that was prepaid lapses."""

# Domain rules, section 11, all that stands there; `received` is the other side of `transit`.
DEBIT = """custody issuer due return_due overbilled grid_due owed_by issued shortfall received"""
CREDIT = """wallet hold credit escrow build cover tax payout suspense transit billed return_to
prepaid grid_for owed_to approver reserved title own kwh retired"""

NOON = datetime(2016, 7, 1, 12, tzinfo=UTC)
TERMS = Terms(return_ppm_year=0, minimum_payment_stroops=0)
U, C, T, W = "U:USD", "C:USD", "T:sun", "W"


def of(name: str) -> tuple[Posting, ...]:
    return postings(EXAMPLES[name].fact)


def moves(example: Example) -> bool:
    return type(example.fact).fact_name in POSTING and example.name not in SILENT


def sums(entries: Sequence[Posting]) -> Counter[tuple[str, str]]:
    """Debits less credits of every account, per asset."""
    found: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        found[entry.asset, entry.debit] += entry.amount
        found[entry.asset, entry.credit] -= entry.amount
    return found


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example.name)
def test_every_fact_balances_for_each_asset_alone(example: Example) -> None:
    entries = postings(example.fact)
    found = sums(entries)
    per_asset = Counter({asset: 0 for asset, _ in found})
    for (asset, _), amount in found.items():
        per_asset[asset] += amount

    assert set(per_asset.values()) <= {0}
    assert all(entry.amount > 0 and entry.debit != entry.credit for entry in entries)
    assert all(entry.asset == "W" or entry.asset[:2] in {"U:", "C:", "T:"} for entry in entries)
    assert bool(entries) == moves(example)


@pytest.mark.parametrize("word", DEBIT.split())
def test_debit_accounts_are_those_of_the_rules(word: str) -> None:
    assert is_debit_account(word)
    assert is_debit_account(f"{word}:a:b")
    assert not is_debit_account(f"{word}s:a")


@pytest.mark.parametrize("word", CREDIT.split())
def test_credit_accounts_are_those_of_the_rules(word: str) -> None:
    assert not is_debit_account(word)
    assert not is_debit_account(f"{word}:issuer:due")


def test_a_deposit_of_book_money_comes_from_its_issuer() -> None:
    assert of("FundsDeposited.v1") == (Posting(U, "issuer:USD", "wallet:ines", 25_000_000_000),)


def test_an_approved_system_puts_its_title_into_the_approvers_hand() -> None:
    title = Posting("T:sunrise", "issued:sunrise", "approver:sunrise", 40_000_000_000)

    assert of("SystemApproved.v1") == (title,)


def test_an_investment_moves_money_into_escrow_and_reserves_title() -> None:
    assert of("InvestmentMade.v2") == (
        Posting(U, "wallet:ines", "escrow:sunrise:ines", 25_000_000_000),
        Posting("T:sunrise", "approver:sunrise", "reserved:sunrise:ines", 25_000_000_000),
    )


def test_an_accepted_raise_builds_and_makes_reserved_units_title() -> None:
    assert of("RaiseAccepted.v2") == (
        Posting(U, "escrow:sunrise:ines", "build:sunrise", 25_000_000_000),
        Posting("T:sunrise", "reserved:sunrise:ines", "title:sunrise:ines", 25_000_000_000),
        Posting(U, "escrow:sunrise:ivo", "build:sunrise", 15_000_000_000),
        Posting("T:sunrise", "reserved:sunrise:ivo", "title:sunrise:ivo", 15_000_000_000),
    )


def test_an_invoice_is_a_claim_by_class() -> None:
    assert of("InvoiceIssued.v2.least") == (
        Posting(C, "due:raul-home", "billed:raul-home:energy", 338_214_000),
    )


def test_a_line_of_nothing_posts_nothing() -> None:
    fact = EXAMPLES["InvoiceIssued.v2.least"].fact
    assert isinstance(fact, InvoiceIssued)
    nothing = fact.lines[0].model_copy(update={"amount_stroops": 0, "line": 2})
    tax = fact.lines[0].model_copy(update={"amount_stroops": 7, "line": 3, "line_class": "tax"})

    found = postings(fact.model_copy(update={"lines": (nothing, tax)}))

    assert found == (Posting(C, "due:raul-home", "billed:raul-home:tax", 7),)


def test_a_payment_goes_through_credit_to_those_to_whom_it_is_due() -> None:
    assert of("PaymentSettled.v2") == (
        Posting(U, "wallet:raul", "credit:raul-home", 340_000_000),
        Posting(C, "billed:raul-home:tax", "due:raul-home", 1_000_000),
        Posting(U, "credit:raul-home", "tax:county", 1_000_000),
        Posting(C, "billed:raul-home:energy", "due:raul-home", 338_214_000),
        Posting(C, "return_to:raul-home:ines", "return_due:raul-home", 106_164_384),
        Posting(U, "credit:raul-home", "wallet:ines", 106_164_384),
        Posting(C, "return_to:raul-home:ivo", "return_due:raul-home", 63_698_630),
        Posting(U, "credit:raul-home", "wallet:ivo", 63_698_630),
        Posting(U, "credit:raul-home", "wallet:ines", 105_219_366),
        Posting(U, "credit:raul-home", "wallet:ivo", 63_131_620),
    )
    assert sums(of("PaymentSettled.v2"))[U, "credit:raul-home"] == -786_000


def test_credit_pays_as_a_payment_does_and_nothing_leaves_a_wallet() -> None:
    assert of("CreditApplied.v1") == of("PaymentSettled.v2")[1:]


@pytest.mark.parametrize(
    ("line_class", "into", "payee", "account"),
    [
        ("tax", "tax", "county", "tax:county"),
        ("running", "wallet", "keeper", "wallet:keeper"),
        ("shared", "credit", "other", "credit:other"),
        ("shared", "wallet", "holder", "wallet:holder"),
    ],
)
def test_what_is_not_energy_goes_to_its_payee(
    line_class: str, into: str, payee: str, account: str
) -> None:
    cleared = Cleared.model_validate(
        {
            "invoice": "i",
            "line_class": line_class,
            "amount_stroops": 7,
            "into": into,
            "payee": payee,
        }
    )
    fact = PaymentSettled(
        payment="raul-home.auto.1",
        agreement="home",
        payer="raul",
        asset="USD",
        kind="standing-order",
        amount_stroops=7,
        cleared=(cleared,),
        returns=(),
        principal=(),
        credit_stroops=0,
    )

    assert postings(fact) == (
        Posting(U, "wallet:raul", "credit:home", 7),
        Posting(C, f"billed:home:{line_class}", "due:home", 7),
        Posting(U, "credit:home", account, 7),
    )


def test_a_prepayment_out_of_credit_takes_nothing_from_the_wallet() -> None:
    fact = PaymentSettled(
        payment="raul.1",
        agreement="home",
        payer="raul",
        asset="USD",
        kind="prepayment",
        amount_stroops=0,
        cleared=(),
        returns=(MoneyMove(member="ines", amount_stroops=3),),
        principal=(MoneyMove(member="ines", amount_stroops=4),),
        credit_stroops=0,
    )

    assert postings(fact) == (
        Posting(C, "return_to:home:ines", "return_due:home", 3),
        Posting(U, "credit:home", "wallet:ines", 3),
        Posting(U, "credit:home", "wallet:ines", 4),
    )


def test_return_is_owed_to_each_investor() -> None:
    assert of("ReturnAccrued.v1") == (
        Posting(C, "return_due:raul-home", "return_to:raul-home:ines", 106_164_384),
        Posting(C, "return_due:raul-home", "return_to:raul-home:ivo", 63_698_630),
    )


def test_a_credit_note_lowers_what_is_due_and_gives_back_what_was_paid() -> None:
    assert of("CreditNoteSettled.v1") == (
        Posting(C, "billed:raul-home:energy", "due:raul-home", 138_214_000),
        Posting(C, "overbilled:raul-home", "prepaid:raul-home", 200_000_000),
        Posting(U, "tax:county", "credit:raul-home", 600_000),
        Posting(C, "owed_by:county", "owed_to:raul-home", 400_000),
    )


def test_an_owed_refund_that_comes_is_credit_and_owed_no_more() -> None:
    fact = RefundReceived(
        agreement="home", asset="USD", payee="county", into="tax", amount_stroops=9
    )

    assert postings(fact) == (
        Posting(U, "tax:county", "credit:home", 9),
        Posting(C, "owed_to:home", "owed_by:county", 9),
    )


def test_prepaid_energy_clears_energy_and_moves_no_money() -> None:
    assert of("PrepaidApplied.v1") == (
        Posting(C, "prepaid:raul-home", "due:raul-home", 150_000_000),
        Posting(C, "billed:raul-home:energy", "overbilled:raul-home", 150_000_000),
    )


def test_a_cap_lowers_what_is_due_of_energy() -> None:
    amount = EXAMPLES["InvoiceCapped.v1"].fact.model_dump()["amount_stroops"]

    assert of("InvoiceCapped.v1") == (
        Posting(C, "billed:raul-home:energy", "due:raul-home", amount),
    )


def test_prepaid_lapses_when_the_holding_is_owned() -> None:
    owned = EXAMPLES["HoldingOwned.v1"].fact
    lapsing = owned.model_copy(update={"lapsed_prepaid_stroops": 5})

    assert postings(lapsing) == (Posting(C, "prepaid:raul-home", "overbilled:raul-home", 5),)


@pytest.mark.parametrize(
    ("name", "debit", "credit"),
    [
        ("FundsReceived.v1", "issuer:USD", "credit:raul-home"),
        ("FundsSuspended.v1", "issuer:USD", "suspense:anna.bank-line-17"),
        ("SuspenseSettled.v1", "suspense:anna.bank-line-17", "wallet:raul"),
        ("SuspenseSettled.v1.agreement", "suspense:anna.bank-line-17", "credit:raul-home"),
        ("SuspenseSettled.v1.least", "suspense:anna.bank-line-17", "issuer:USD"),
        ("CreditRefunded.v1", "credit:raul-home", "wallet:raul"),
        ("FundsWithdrawn.v1", "wallet:ines", "issuer:USD"),
    ],
)
def test_book_money_comes_in_waits_and_goes_out(name: str, debit: str, credit: str) -> None:
    (entry,) = of(name)

    assert (entry.asset, entry.debit, entry.credit) == (U, debit, credit)
    assert entry.amount == EXAMPLES[name].fact.model_dump()["amount_stroops"]


def test_title_follows_cash_into_the_agreement() -> None:
    assert of("OwnershipTransferred.v1") == (
        Posting("T:sunrise", "title:sunrise:ines", "own:raul-home", 105_219_366),
        Posting("T:sunrise", "title:sunrise:ivo", "own:raul-home", 63_131_620),
    )


MINT = {"mint": "m", "member": "a", "energy_wh": 100, "intervals": (), "meters": ()}
METERS = (MeterEnergy(meter="m1", energy_wh=60), MeterEnergy(meter="m2", energy_wh=40))
SURPLUS = {
    **MINT,
    "reason": "surplus",
    "system": "roof",
    "holding": "h",
    "interval_s": 900,
    "intervals": (IntervalEnergy(from_at=NOON, energy_wh=100),),
    "meters": METERS,
}


def test_an_approvers_tokens_serve_a_shortfall_first() -> None:
    fact = EnergyMinted.model_validate({**MINT, "reason": "approver", "served_wh": 30})

    assert postings(fact) == (
        Posting(W, "issued:approver", "shortfall:a", 30),
        Posting(W, "issued:approver", "kwh:a", 70),
    )


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (0, [("m1", "kwh:a", 60), ("m2", "kwh:a", 40)]),
        (70, [("m1", "shortfall:a", 60), ("m2", "shortfall:a", 10), ("m2", "kwh:a", 30)]),
        (100, [("m1", "shortfall:a", 60), ("m2", "shortfall:a", 40)]),
    ],
)
def test_metered_tokens_stand_on_their_meters(
    served: int, expected: list[tuple[str, str, int]]
) -> None:
    fact = EnergyMinted.model_validate({**SURPLUS, "served_wh": served})

    assert postings(fact) == tuple(
        Posting(W, f"issued:meter:{meter}", account, part) for meter, account, part in expected
    )


def test_a_lower_reading_takes_free_tokens_and_books_the_rest_as_shortfall() -> None:
    values = {name: SURPLUS[name] for name in ("member", "system", "holding", "interval_s")}
    fact = EnergyShortfallBooked.model_validate(
        values
        | {"energy_wh": 100, "taken_wh": 70, "intervals": SURPLUS["intervals"], "meters": METERS}
    )

    assert postings(fact) == (
        Posting(W, "kwh:a", "issued:meter:m1", 60),
        Posting(W, "kwh:a", "issued:meter:m2", 10),
        Posting(W, "shortfall:a", "issued:meter:m2", 30),
    )


def test_a_trade_between_members_moves_energy_from_its_hold_and_money_from_the_wallet() -> None:
    assert of("TradeCreated.v1") == (
        Posting(W, "kwh:bakery", "hold:bakery:trade.TRADE001", 200_000),
    )
    assert of("TradeExecuted.v1.least") == (
        Posting(W, "hold:bakery:trade.TRADE001", "kwh:foundry", 200_000),
        Posting("U:TOKEN", "wallet:foundry", "wallet:bakery", 160_000_000),
    )


def test_a_match_moves_energy_and_money_from_the_holds_of_the_orders() -> None:
    assert of("TradeExecuted.v1") == (
        Posting(W, "hold:bakery:order.offer-1", "kwh:foundry", 200_000),
        Posting("U:TOKEN", "hold:foundry:order.bid-1", "wallet:bakery", 160_000_000),
    )


LEG = MoneyLeg(to_member="b", asset="TOKEN", amount_stroops=70)
POSTED = {"transfer": "t", "from_member": "a", "legs": (LEG,), "returned_wh": 0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"is_held": False}, [("wallet:a", "wallet:b", 70)]),
        ({"is_held": True}, [("hold:a:transfer.t", "wallet:b", 70)]),
        (
            {"is_held": True, "returned_stroops": 30},
            [("hold:a:transfer.t", "wallet:b", 70), ("hold:a:transfer.t", "wallet:a", 30)],
        ),
        ({"is_held": True, "to_book": "hill"}, [("hold:a:transfer.t", "transit:hill", 70)]),
        ({"is_held": False, "from_book": "hill"}, [("received:hill", "wallet:b", 70)]),
    ],
    ids=["at once", "held", "in part", "to a book", "from a book"],
)
def test_a_posted_transfer_comes_from_where_it_was(
    changes: dict[str, object], expected: list[tuple[str, str, int]]
) -> None:
    fact = TransferPosted.model_validate({**POSTED, "returned_stroops": 0, **changes})

    assert postings(fact) == tuple(Posting("U:TOKEN", *entry) for entry in expected)


def test_a_transfer_of_both_kinds_is_reversed_leg_by_leg() -> None:
    legs = (LEG, EnergyLeg(to_member="c", energy_wh=5))
    given_ = TransferPosted.model_validate(
        {**POSTED, "legs": legs, "is_held": False, "returned_stroops": 0}
    )
    undone = TransferReversed(
        transfer="t", from_member="a", legs=legs, reason="wrong", command=None
    )

    assert sums([*postings(given_), *postings(undone)]) == Counter(
        dict.fromkeys(sums(postings(given_)), 0)
    )


def test_a_fact_that_moves_nothing_posts_nothing() -> None:
    silent = [name for name, each in EXAMPLES.items() if not moves(each)]

    assert len(silent) >= 12
    assert all(of(name) == () for name in silent)


def test_balances_stand_on_the_normal_side() -> None:
    books = Books()
    books.post([Posting(U, "issuer:USD", "wallet:ines", 100)])
    books.post([Posting(U, "wallet:ines", "escrow:sun:ines", 60)])

    assert books.balance(U, "issuer:USD") == 100
    assert books.balance(U, "wallet:ines") == 40
    assert books.balance(U, "escrow:sun:ines") == 60
    assert books.balance(U, "wallet:nobody") == books.balance("U:EUR", "wallet:ines") == 0
    assert books.totals() == {U: (100, 100)}


def test_assets_do_not_mix() -> None:
    books = Books()
    books.post([Posting(U, "issuer:USD", "wallet:ines", 5)])

    with pytest.raises(ValueError, match="wallet:ines would stand at -1 of U:EUR"):
        books.post([Posting("U:EUR", "wallet:ines", "wallet:ivo", 1)])
    assert books.totals() == {U: (5, 5)}


@pytest.mark.parametrize(
    "entries",
    [
        [Posting(U, "wallet:ines", "wallet:ivo", 101)],
        [Posting(U, "wallet:ines", "wallet:ivo", 60), Posting(U, "wallet:ines", "wallet:ivo", 41)],
        [Posting(U, "wallet:ivo", "issuer:USD", 1)],
        [Posting(U, "wallet:ines", "issuer:USD", 101)],
        [Posting(U, "issuer:USD", "wallet:ivo", 5), Posting(C, "billed:a:tax", "due:a", 1)],
        [Posting(U, "wallet:ines", "wallet:ivo", 1), Posting(U, "a", "b", 0)],
        [Posting(U, "wallet:ines", "wallet:ivo", -1)],
    ],
    ids=[
        "too much",
        "too much in two",
        "empty",
        "issuer below zero",
        "other asset",
        "zero",
        "below zero",
    ],
)
def test_what_crosses_an_account_is_refused_and_changes_nothing(entries: list[Posting]) -> None:
    books = Books()
    books.post([Posting(U, "issuer:USD", "wallet:ines", 100)])
    before = books.totals(), books.accounts(U, ""), books.accounts(C, "")

    with pytest.raises(ValueError, match=r"would stand at|posting of"):
        books.post(entries)

    assert (books.totals(), books.accounts(U, ""), books.accounts(C, "")) == before


def test_an_account_may_pass_through_zero_within_one_fact() -> None:
    books = Books()
    books.post(
        [Posting(U, "wallet:ines", "wallet:ivo", 5), Posting(U, "issuer:USD", "wallet:ines", 5)]
    )

    assert books.accounts(U, "wallet:") == {"wallet:ivo": 5}


def test_accounts_are_listed_by_prefix_and_without_empty_ones() -> None:
    books = Books()
    books.post([Posting(T, "issued:sun", "approver:sun", 10)])
    books.post([Posting(T, "approver:sun", "title:sun:ines", 4)])
    books.post([Posting(T, "approver:sun", "title:sun:ivo", 6)])
    books.post([Posting("T:moon", "issued:moon", "title:sun:eve", 1)])

    assert books.accounts(T, "title:sun:") == {"title:sun:ines": 4, "title:sun:ivo": 6}
    assert books.accounts(T, "approver:") == {}
    assert books.accounts(T, "") == {"issued:sun": 10, "title:sun:ines": 4, "title:sun:ivo": 6}


def test_posting_nothing_changes_nothing() -> None:
    books = Books()
    books.post([])

    assert books.totals() == {}


@settings(max_examples=80)
@given(
    st.lists(
        st.builds(
            Posting,
            st.sampled_from([U, C, T]),
            st.sampled_from(["issuer:USD", "wallet:a", "wallet:b", "due:x", "title:sun:a"]),
            st.sampled_from(["issuer:USD", "wallet:a", "wallet:b", "due:x", "own:x"]),
            st.integers(-1, 50),
        ),
        max_size=30,
    )
)
def test_debits_equal_credits_after_whatever_is_posted(entries: list[Posting]) -> None:
    books = Books()
    accepted: list[Posting] = []
    for entry in entries:
        before = books.totals()
        try:
            books.post([entry])
        except ValueError:
            assert books.totals() == before
        else:
            accepted.append(entry)
        assert all(debits == credits_ for debits, credits_ in books.totals().values())

    for (asset, account), amount in sums(accepted).items():
        assert books.balance(asset, account) == (amount if is_debit_account(account) else -amount)
        assert books.balance(asset, account) >= 0


MEMBERS = ("ines", "ivo", "ida")
parts = st.lists(st.integers(1, 10**9), min_size=1, max_size=3)


@settings(max_examples=60)
@given(parts, st.lists(st.integers(1, 10**8), max_size=6), st.data())
def test_the_life_of_a_system_keeps_every_law(
    invested: list[int], paid: list[int], data: st.DataObject
) -> None:
    price = sum(invested)
    facts: list[Fact] = [SystemApproved(system="sun", shares=price, command=SIGNED)]
    for member, amount in zip(MEMBERS, invested, strict=False):
        facts += [_deposit(member, amount), _investment(member, amount)]
    moves = [
        UnitMove(member=m, shares=s, amount_stroops=s)
        for m, s in zip(MEMBERS, invested, strict=False)
    ]
    facts.append(
        RaiseAccepted(
            system="sun",
            recipient="raul",
            asset="USD",
            moves=tuple(moves),
            units=price,
            command=SIGNED,
        )
    )
    owed = dict(zip(MEMBERS, invested, strict=False))
    own = 0
    for number, amount in enumerate(paid, 1):
        payee = data.draw(st.sampled_from(sorted(owed)))
        part = min(amount, owed[payee])
        if part == 0:
            continue
        owed[payee] -= part
        own += part
        facts += [
            _deposit("raul", part),
            _invoice(number, part),
            *_payment(number, payee, part, own),
        ]

    books = Books()
    for fact in facts:
        books.post(postings(fact))
        assert all(debits == credits_ for debits, credits_ in books.totals().values())

    titles = books.accounts(T, "title:sun:")
    assert titles == {f"title:sun:{member}": left for member, left in owed.items() if left}
    assert sum(titles.values()) + books.balance(T, "own:home") == price
    assert books.balance(U, "build:sun") == price
    assert books.balance(C, "due:home") == books.balance(U, "credit:home") == 0


def _deposit(member: str, amount: int) -> FundsDeposited:
    return FundsDeposited(member=member, asset="USD", amount_stroops=amount, command=SIGNED)


def _investment(member: str, amount: int) -> InvestmentMade:
    return InvestmentMade(
        investment=f"{member}.1",
        system="sun",
        investor=member,
        asset="USD",
        amount_stroops=amount,
        round="raise",
        units=amount,
        is_at_risk=False,
        terms=TERMS,
        command=SIGNED,
    )


def _invoice(number: int, amount: int) -> InvoiceIssued:
    line = EXAMPLES["InvoiceIssued.v2.least"].fact
    assert isinstance(line, InvoiceIssued)
    lines: tuple[InvoiceLine, ...] = (line.lines[0].model_copy(update={"amount_stroops": amount}),)
    changes = {"agreement": "home", "number": number, "lines": lines, "total_stroops": amount}
    return line.model_copy(update=changes)


def _payment(number: int, payee: str, amount: int, own: int) -> tuple[Fact, Fact]:
    return (
        PaymentSettled(
            payment=f"raul.{number}",
            agreement="home",
            payer="raul",
            asset="USD",
            kind="invoices",
            amount_stroops=amount,
            cleared=(
                Cleared(invoice=f"home-{number}", line_class="energy", amount_stroops=amount),
            ),
            returns=(),
            principal=(MoneyMove(member=payee, amount_stroops=amount),),
            credit_stroops=0,
            command=SIGNED,
        ),
        OwnershipTransferred(
            payment=f"raul.{number}",
            system="sun",
            holding="h",
            agreement="home",
            to_member="raul",
            moves=(TitleMove(member=payee, shares=amount),),
            own_shares=own,
            holding_units=10**12,
        ),
    )
