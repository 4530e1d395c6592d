"""Quantities are integers of one bound and instants of one spelling.

Every kind of quantity is asked for the same values, by itself and through JSON.
"""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.events import quantities
from libs.events.quantities import (
    INTEGER_MAX,
    Instant,
    LocalDate,
    as_date,
    format_instant,
    parse_instant,
)

FROM_ZERO = ("Count", "EnergyWh", "AmountStroops", "PriceStroopsPerKwh", "DurationS")
FROM_ONE = ("Ordinal", "PowerW", "PositiveStroops", "Shares")
INTEGERS = (*FROM_ZERO, *FROM_ONE)
NO_INTEGERS: tuple[Any, ...] = (1.0, 0.5, True, "1", None, [1], float("nan"), 10**30)

instants = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))


def reader(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(getattr(quantities, name))


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", NO_INTEGERS)
def test_what_is_no_integer_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        reader(name).validate_python(value)
    with pytest.raises(ValidationError):
        reader(name).validate_json(json.dumps(value))


LIMITED = {"PowerW": 10**12, "PriceStroopsPerKwh": 10**12, "DurationS": 366 * 86_400}


@pytest.mark.parametrize(("name", "most"), LIMITED.items())
def test_some_kinds_have_a_limit_of_their_own(name: str, most: int) -> None:
    assert reader(name).validate_json(str(most)) == most
    with pytest.raises(ValidationError):
        reader(name).validate_json(str(most + 1))


@pytest.mark.parametrize("name", [name for name in INTEGERS if name not in LIMITED])
def test_the_largest_integer_is_two_to_the_53_less_one(name: str) -> None:
    largest = reader(name).validate_json(b"9007199254740991")

    assert largest == INTEGER_MAX == 2**53 - 1
    assert json.loads(json.dumps(float(largest))) == largest  # any JSON reader reads it exactly
    with pytest.raises(ValidationError):
        reader(name).validate_json(b"9007199254740992")


@pytest.mark.parametrize(
    ("name", "least"), [(n, 0) for n in FROM_ZERO] + [(n, 1) for n in FROM_ONE]
)
def test_the_least_integer_is_what_the_kind_says(name: str, least: int) -> None:
    assert reader(name).validate_json(str(least)) == least
    with pytest.raises(ValidationError):
        reader(name).validate_json(str(least - 1))


def test_a_yearly_rate_goes_from_nothing_to_all() -> None:
    rate = reader("RatePpmYear")

    assert [rate.validate_python(value) for value in (0, 50_000, 1_000_000)] == [
        0,
        50_000,
        1_000_000,
    ]
    for value in (-1, 1_000_001, 0.05):
        with pytest.raises(ValidationError):
            rate.validate_python(value)


@pytest.mark.parametrize("text", ["1.0", "1e0", '"1"', "true", "null", "0x1", "+1", "01", "1_0"])
def test_an_integer_has_no_other_spelling_in_json(text: str) -> None:
    with pytest.raises(ValidationError):
        reader("Count").validate_json(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("0999-12-31T23:59:59Z", datetime(999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1000-01-01T00:00:00Z", datetime(1000, 1, 1, tzinfo=UTC)),
        ("1969-12-31T23:59:59Z", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2016-02-29T07:00:00Z", datetime(2016, 2, 29, 7, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_and_written_in_one_spelling(text: str, instant: datetime) -> None:
    adapter = TypeAdapter(Instant)

    assert parse_instant(text) == adapter.validate_json(json.dumps(text)) == instant
    assert format_instant(instant) == text
    assert adapter.dump_json(instant) == json.dumps(text).encode()


@pytest.mark.parametrize(
    "text",
    [
        "2016-07-01 07:00:00Z",
        "2016-07-01t07:00:00Z",
        "2016-07-01T07:00:00z",
        "2016-07-01T07:00:00+00:00",
        "2016-07-01T07:00:00",
        "2016-07-01T07:00Z",
        "2016-07-01T07:00:00.0Z",
        "2016-07-01T07:00:60Z",
        "2016-07-01T24:00:00Z",
        "2016-02-30T07:00:00Z",
        "2015-02-29T07:00:00Z",
        "2016-13-01T07:00:00Z",
        "0000-01-01T00:00:00Z",
        "+2016-07-01T07:00:00",
        "2016-W26-5T07:00:00Z",
        "20160701T0000:07:00Z",
        "2016-07-01T07:00:0\uff10Z",
        "\u0662\u0660\u0661\u0666-07-01T07:00:00Z",
        " 2016-07-01T07:00:00",
        "2016-07-01T07:00:00Z\n",
        "",
    ],
)
def test_an_instant_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM-DDTHH:MM:SSZ"):
        parse_instant(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Instant).validate_json(json.dumps(text))


@pytest.mark.parametrize("value", [1_467_356_400, 1.5, None, True, b"2016-07-01T07:00:00Z", ["x"]])
def test_an_instant_is_text_or_a_datetime(value: object) -> None:
    with pytest.raises(ValueError, match="an instant is written"):
        parse_instant(value)


def test_an_instant_knows_its_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        parse_instant(datetime(2016, 7, 1, 7))  # noqa: DTZ001


def test_an_instant_has_no_part_of_a_second() -> None:
    with pytest.raises(ValueError, match="whole second"):
        parse_instant(datetime(2016, 7, 1, 7, 0, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("moment", "hours"),
    [(datetime(1, 1, 1), 1), (datetime(9999, 12, 31, 23), -1)],  # noqa: DTZ001
)
def test_an_instant_outside_the_calendar_is_refused(moment: datetime, hours: int) -> None:
    elsewhere = moment.replace(tzinfo=timezone(timedelta(hours=hours)))

    with pytest.raises(ValueError, match="years 1 to 9999"):
        parse_instant(elsewhere)


@given(instants, st.integers(-14 * 60, 14 * 60))
def test_every_instant_comes_back_from_its_spelling(instant: datetime, minutes: int) -> None:
    text = format_instant(instant)

    assert parse_instant(text) == instant
    assert parse_instant(instant) == instant
    assert len(text) == 20
    if 1 < instant.year < 9999:
        elsewhere = instant.astimezone(timezone(timedelta(minutes=minutes)))
        assert format_instant(elsewhere) == text
        assert parse_instant(elsewhere) == instant


@given(instants, instants)
def test_written_instants_sort_like_instants(one: datetime, other: datetime) -> None:
    assert (format_instant(one) < format_instant(other)) == (one < other)


@pytest.mark.parametrize("text", ["2016-02-29", "2016-07-01", "0001-01-01", "9999-12-31"])
def test_a_local_date_is_a_day_that_exists(text: str) -> None:
    assert TypeAdapter(LocalDate).validate_python(text) == text
    assert as_date(text).isoformat() == text


@pytest.mark.parametrize(
    "text",
    [
        "2015-02-29",
        "2016-13-01",
        "2016-00-10",
        "0000-01-01",
        "20160701",
        "2016-7-1",
        "2016-W26-5",
        "\u0662\u0660\u0661\u0666-07-01",
        "2016-07-01\n",
        " 2016-07-01",
        "",
    ],
)
def test_a_local_date_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(LocalDate).validate_python(text)
