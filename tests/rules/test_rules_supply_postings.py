"""What first loss, grid sales and proceeds do to the accounts."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from libs.events.books import MoneyMove, TitleMove
from libs.events.supply import FirstLossCovered, GridEnergySold, GridProceedsReceived
from libs.rules.posting import Posting
from libs.rules.postings import Books, postings


def covered(returns: dict[str, int], principal: dict[str, int], left: int = 0) -> FirstLossCovered:
    return FirstLossCovered(
        holding="h",
        agreement="agr",
        system="sun",
        asset="USD",
        guarantor="gina",
        amount_stroops=sum(returns.values()) + sum(principal.values()),
        returns=tuple(MoneyMove(member=who, amount_stroops=n) for who, n in returns.items()),
        principal=tuple(TitleMove(member=who, shares=n) for who, n in principal.items()),
        cover_left_stroops=left,
    )


def test_a_guarantor_pays_and_takes_over_claim_and_title() -> None:
    assert postings(covered({"ann": 3}, {"bob": 5})) == (
        Posting("U:USD", "cover:sun:gina", "wallet:ann", 3),
        Posting("C:USD", "return_to:agr:ann", "return_to:agr:gina", 3),
        Posting("U:USD", "cover:sun:gina", "wallet:bob", 5),
        Posting("T:sun", "title:sun:bob", "title:sun:gina", 5),
    )


def test_a_guarantor_who_owned_a_part_pays_it_to_himself_and_keeps_it() -> None:
    assert postings(covered({"gina": 3}, {"gina": 5})) == (
        Posting("U:USD", "cover:sun:gina", "wallet:gina", 3),
        Posting("U:USD", "cover:sun:gina", "wallet:gina", 5),
    )


def sold(amount: int) -> GridEnergySold:
    return GridEnergySold(
        holding="h",
        agreement="agr",
        system="sun",
        member="ann",
        offtaker="utility",
        asset="USD",
        first_interval_at=datetime(2016, 7, 1, tzinfo=UTC),
        interval_s=900,
        energies_wh=(40, 0, 2),
        energy_wh=42,
        tariff="fixed",
        price_position=f"PRICES:1:{'0' * 32}",
        price_stroops_per_kwh=amount * 1_000 // 42,
        amount_stroops=amount,
    )


def test_a_grid_sale_retires_tokens_and_makes_a_claim_unless_it_is_worth_nothing() -> None:
    tokens = Posting("W", "kwh:ann", "retired:ann:grid", 42)
    claim = Posting("C:USD", "grid_due:utility", "grid_for:agr", 84)
    assert postings(sold(84)) == (tokens, claim)
    assert postings(sold(0)) == (tokens,)


def test_proceeds_are_credit_and_end_the_claim() -> None:
    fact = GridProceedsReceived(
        agreement="agr", offtaker="utility", asset="USD", amount_stroops=84, command="a.b.c"
    )
    assert postings(fact) == (
        Posting("U:USD", "wallet:utility", "credit:agr", 84),
        Posting("C:USD", "grid_for:agr", "grid_due:utility", 84),
    )


parts = st.dictionaries(st.sampled_from(["ann", "bob", "gina"]), st.integers(1, 10**9))


@given(parts, parts)
def test_every_first_loss_balances_and_moves_what_it_says(
    returns: dict[str, int], principal: dict[str, int]
) -> None:
    if not returns and not principal:
        return
    fact = covered(returns, principal)
    books = Books()
    books.post([Posting("U:USD", "issuer:USD", "cover:sun:gina", fact.amount_stroops)])
    for who, amount in returns.items():
        books.post([Posting("C:USD", "return_due:agr", f"return_to:agr:{who}", amount)])
    for who, shares in principal.items():
        books.post([Posting("T:sun", "issued:sun", f"title:sun:{who}", shares)])
    books.post(postings(fact))
    assert books.balance("U:USD", "cover:sun:gina") == 0
    assert books.balance("C:USD", "return_to:agr:gina") == sum(returns.values())
    assert books.balance("T:sun", "title:sun:gina") == sum(principal.values())
    for debits, credits_ in books.totals().values():
        assert debits == credits_
