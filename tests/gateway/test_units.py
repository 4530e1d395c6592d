"""Text for people: exact, in both directions of the edge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.quantities import INTEGER_MAX
from libs.runtime.failures import Refused
from services.gateway.explanation import arithmetic
from services.gateway.paging import read_cursor, write_cursor
from services.gateway.queries.invoices import status_of
from services.gateway.units import amount, code_of, is_zone, kwh, percent, ranges
from tests.projection.world import START

WHOLE = st.integers(0, INTEGER_MAX)


@given(WHOLE)
def test_decimals_hold_every_digit_of_the_integer(value: int) -> None:
    assert int(kwh(value).replace(".", "")) == int(amount(value).replace(".", "")) == value
    assert len(kwh(value).partition(".")[2]) == 3
    assert len(amount(value).partition(".")[2]) == 7


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 7, "0.0000"),
        (7, 7, "100.0000"),
        (1, 3, "33.3333"),
        (2, 3, "66.6667"),
        (1, INTEGER_MAX, "<0.0001"),
        (INTEGER_MAX - 1, INTEGER_MAX, ">99.9999"),
        (0, 0, "0.0000"),
    ],
)
def test_a_percentage_never_claims_all_or_nothing_wrongly(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


def test_positions_are_written_as_stretches() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges([]) == ""


@given(st.integers(0, 2**53 - 1), st.integers(0, 2**40))
def test_the_arithmetic_is_half_even_and_says_when_it_rounds(energy: int, price: int) -> None:
    exact, rest = divmod(energy * price, 1_000)
    done = arithmetic(
        energy_wh=energy, price_stroops_per_kwh=price, amount_stroops=exact, asset="USD:GABC"
    )
    assert done.agrees == (done.rounded_stroops == exact)
    assert abs(done.rounded_stroops * 1_000 - energy * price) <= 500
    assert ("rounded" in done.words) == bool(rest)
    assert "GABC" not in done.words


def test_small_words() -> None:
    assert code_of("USD:GABC") == "USD"
    assert is_zone("America/Denver")
    assert not is_zone("../../etc/passwd")
    assert not is_zone("Nowhere/Land")
    assert not is_zone(None)


@given(st.integers(0, 2**63 - 1), st.text(max_size=20).filter(lambda text: "\x00" not in text))
def test_a_cursor_comes_back(sequence: int, stream: str) -> None:
    assert read_cursor(write_cursor((START, stream, sequence))) == (START, stream, sequence)
    assert read_cursor(None) is None


@pytest.mark.parametrize(
    "text", ["", "!", "e30", "W10", "WzEsMiwzXQ", "é", "A" * 300, "WyIyMDE2LTA3LTAxIiwieCIsMV0"]
)
def test_a_strange_cursor_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="bad-cursor"):
        read_cursor(text)


@pytest.mark.parametrize(
    ("paid", "is_paid", "late", "status"),
    [
        (0, False, False, "open"),
        (0, False, True, "overdue"),
        (4, False, False, "part-paid"),
        (4, False, True, "overdue"),
        (9, False, False, "settling"),
        (9, False, True, "settling"),
        (9, True, True, "paid"),
        (0, True, False, "paid"),
    ],
)
def test_the_status_needs_both_halves(*, paid: int, is_paid: bool, late: bool, status: str) -> None:
    row = {
        "status": "open",
        "total_stroops": 9,
        "cleared_stroops": paid,
        "open_stroops": 9 - paid,
        "overdue_stroops": 9 - paid if late else 0,
        "paid_at": START if is_paid else None,
    }
    assert status_of(row) == status


@pytest.mark.parametrize("status", ["replaced", "credited"])
def test_what_a_credit_note_undid_is_neither_open_nor_paid(status: str) -> None:
    assert status_of({"status": status, "paid_at": START}) == status
