"""Prices and rates in ENTSO-E's, the ECB's and plain documents."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.events.pricing import OBSERVED_MAX
from libs.runtime.failures import Refused
from services.oracle.adapters import ecb, entsoe, table
from services.oracle.adapters.quotes import within
from tests.oracle.papers import day_ahead, rates

DAY_S = 86_400


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def refusal_of(read: object, *args: object, **more: object) -> Refused:
    assert callable(read)
    with pytest.raises(Refused) as refusal:
        read(*args, **more)
    return refusal.value


def test_prices_per_mwh_are_exact_per_kwh() -> None:
    data = day_ahead("2026-01-09T23:00Z", "2026-01-10T02:00Z", {1: "45.37", 2: "-0.01", 3: "1000"})
    (found,) = entsoe.read_prices(data, currency="EUR")
    assert (found.first_at, found.interval_s) == (at("2026-01-09T23:00:00"), 3_600)
    assert found.values == (453_700, -100, 10_000_000)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-03-28T23:00Z", "2026-03-29T22:00Z", 23),
        ("2026-06-09T22:00Z", "2026-06-10T22:00Z", 24),
        ("2026-10-24T22:00Z", "2026-10-25T23:00Z", 25),
    ],
    ids=["spring", "summer", "autumn"],
)
@pytest.mark.parametrize(("resolution", "per_hour"), [("PT60M", 1), ("PT15M", 4)])
def test_days_of_23_24_and_25_hours_lose_and_double_nothing(
    start: str, end: str, hours: int, resolution: str, per_hour: int
) -> None:
    count = hours * per_hour
    points = {n: f"{n}.5" for n in range(1, count + 1)}
    data = day_ahead(start, end, points, resolution=resolution)
    (found,) = entsoe.read_prices(data, currency="EUR")
    assert found.values == tuple(n * 10_000 + 5_000 for n in range(1, count + 1))
    assert found.interval_s * len(found.values) == hours * 3_600
    too_few = day_ahead(start, end, dict.fromkeys(range(1, count), "1"), resolution=resolution)
    assert refusal_of(entsoe.read_prices, too_few, currency="EUR").code == "document-gap"


def test_a_point_that_is_left_out_of_a_stepped_curve_repeats_the_one_before() -> None:
    points = {1: "1", 3: "2"}
    data = day_ahead("2026-01-09T23:00Z", "2026-01-10T04:00Z", points, curve="A03")
    (found,) = entsoe.read_prices(data, currency="EUR")
    assert found.values == (10_000, 10_000, 20_000, 20_000, 20_000)
    no_first = day_ahead("2026-01-09T23:00Z", "2026-01-10T01:00Z", {2: "1"}, curve="A03")
    assert refusal_of(entsoe.read_prices, no_first, currency="EUR").code == "document-gap"


def test_days_that_touch_are_joined_and_others_are_not() -> None:
    days = [("2026-01-09T23:00Z", "2026-01-10T00:00Z"), ("2026-01-10T00:00Z", "2026-01-10T01:00Z")]
    late = ("2026-01-10T05:00Z", "2026-01-10T06:00Z")
    data = day_ahead(*days[0], {1: "1"}, more=[(*days[1], {1: "2"}), (*late, {1: "3"})])
    found = entsoe.read_prices(data, currency="EUR")
    assert [each.values for each in found] == [(10_000, 20_000), (30_000,)]


HOURS = ("2026-01-09T23:00Z", "2026-01-10T01:00Z")
BOTH = {1: "1", 2: "2"}


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        (
            day_ahead(*HOURS, BOTH, currency="GBP"),
            "document-unit",
            "TimeSeries.0.currency_Unit.name",
        ),
        (
            day_ahead(*HOURS, BOTH, unit="KWH"),
            "document-unit",
            "TimeSeries.0.price_Measure_Unit.name",
        ),
        (day_ahead(*HOURS, BOTH, curve="A02"), "document-shape", "TimeSeries.0.curveType"),
        (
            day_ahead(*HOURS, BOTH, resolution="P1D"),
            "document-unit",
            "TimeSeries.0.Period.0.resolution",
        ),
        (
            day_ahead(*HOURS, {1: "1", 3: "2"}),
            "document-shape",
            "TimeSeries.0.Period.0.Point.position",
        ),
        (
            day_ahead(*HOURS, {1: "1", 2: "2e5"}),
            "document-number",
            "TimeSeries.0.Period.0.Point.2.price.amount",
        ),
        (
            day_ahead(HOURS[1], HOURS[0], BOTH),
            "document-shape",
            "TimeSeries.0.Period.0.timeInterval",
        ),
        (
            day_ahead("yesterday", HOURS[1], BOTH),
            "document-shape",
            "TimeSeries.0.Period.0.timeInterval",
        ),
        (day_ahead(*HOURS, BOTH, more=[(*HOURS, BOTH)]), "document-overlap", "start"),
        (b"<Other/>", "document-shape", "document"),
        (b"<Publication_MarketDocument/>", "document-empty", "document"),
        (b"no XML", "document-shape", "document"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document-shape", "document"),
    ],
)
def test_a_day_ahead_document_that_is_not_understood_is_refused(
    data: bytes, code: str, field: str
) -> None:
    found = refusal_of(entsoe.read_prices, data, currency="EUR")
    assert (found.code, found.field) == (code, field)


def test_an_answer_without_prices_tells_why() -> None:
    name = "Acknowledgement_MarketDocument"
    data = f"<{name}><Reason><text>No data</text></Reason></{name}>".encode()
    found = refusal_of(entsoe.read_prices, data, currency="EUR")
    assert found.code == "no-prices"
    assert "No data" in found.message


@pytest.mark.parametrize(
    ("header", "price", "stroops"),
    [
        ("price_eur_per_mwh", "45.37", 453_700),
        ("price_eur_per_kwh", "0.20", 2_000_000),
        ("price_eur_per_kwh", "0.00000005", 0),
        ("price_eur_per_kwh", "0.00000015", 2),
        ("price_eur_per_kwh", "-.5", -5_000_000),
    ],
)
def test_a_table_names_its_unit(header: str, price: str, stroops: int) -> None:
    data = f"start,{header}\n2026-01-10T00:00:00Z,{price}\n2026-01-10T00:15:00Z,1\n".encode()
    (found,) = table.read_prices(data, currency="EUR")
    assert (found.interval_s, found.values[0]) == (900, stroops)


def test_a_table_in_local_time_goes_through_the_changed_clock_by_its_offsets() -> None:
    rows = [
        "2026-03-29T01:00:00+01:00,1",
        "2026-03-29T03:00:00+02:00,2",
        "2026-03-29T04:00:00+02:00,3",
    ]
    data = "\n".join(["start,price_eur_per_mwh", *rows]).encode()
    (found,) = table.read_prices(data, currency="EUR")
    assert (found.first_at, found.values) == (at("2026-03-29T00:00:00"), (10_000, 20_000, 30_000))


def test_a_table_of_one_line_needs_to_be_told_its_interval() -> None:
    data = b"start,price_eur_per_mwh\n2026-01-10T00:00:00Z,1\n"
    assert refusal_of(table.read_prices, data, currency="EUR").code == "document-gap"
    (found,) = table.read_prices(data, currency="EUR", interval_s=3_600)
    assert found.interval_s == 3_600


PRICE = "start,price_eur_per_mwh"


@pytest.mark.parametrize(
    ("lines", "code", "field"),
    [
        (["start,price_eur_per_gj", "2026-01-10T00:00:00Z,1"], "document-unit", "header"),
        (["start,price", "2026-01-10T00:00:00Z,1"], "document-unit", "header"),
        (["start,price_usd_per_kwh", "2026-01-10T00:00:00Z,1"], "document-unit", "header"),
        (["time,price_eur_per_mwh"], "document-shape", "header"),
        ([PRICE], "document-size", "document"),
        ([PRICE, "2026-01-10T00:00:00,1"], "document-shape", "row.2.start"),
        ([PRICE, "2026-01-10T00:00:00Z,1,2"], "document-shape", "row.2"),
        (
            [PRICE, "2026-01-10T00:00:00Z,1", "", "2026-01-10T01:00:00Z,x"],
            "document-number",
            "row.4.price_eur_per_mwh",
        ),
        (
            [PRICE, "2026-01-10T00:00:00Z,1", "2026-01-10T01:00:00Z,1", "2026-01-10T03:00:00Z,1"],
            "document-gap",
            "row.4.start",
        ),
        ([PRICE, "2026-01-10T01:00:00Z,1", "2026-01-10T00:00:00Z,1"], "document-gap", "start"),
        ([PRICE, "2026-01-10T00:00:00Z,NaN", "2026-01-10T01:00:00Z,1"], "document-number", None),
        ([PRICE, "2026-01-10T00:00:00Z,1_0", "2026-01-10T01:00:00Z,1"], "document-number", None),
        (
            [PRICE, "0001-01-01T00:00:00+14:00,1", "0001-01-01T01:00:00+14:00,1"],
            "document-time",
            "row.2.start",
        ),
        ([PRICE, "9999-12-31T22:00:00Z,1", "9999-12-31T23:00:00Z,1"], "document-time", "start"),
    ],
)
def test_a_table_that_is_not_understood_is_refused_at_its_line(
    lines: list[str], code: str, field: str | None
) -> None:
    found = refusal_of(table.read_prices, "\n".join(lines).encode(), currency="EUR")
    assert found.code == code
    assert field is None or found.field == field


def test_more_values_than_an_observation_holds_become_several() -> None:
    start = at("2026-01-10T00:00:00")
    rows = [f"{start + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ},{n}" for n in range(450)]
    found = table.read_prices("\n".join([PRICE, *rows]).encode(), currency="EUR")
    assert [len(each.values) for each in found] == [OBSERVED_MAX, OBSERVED_MAX, 50]
    assert found[2].first_at == start + timedelta(hours=400)


def test_only_whole_intervals_within_a_stretch_are_kept() -> None:
    data = day_ahead("2026-01-10T00:00Z", "2026-01-10T05:00Z", {n: str(n) for n in range(1, 6)})
    found = entsoe.read_prices(data, currency="EUR")
    (kept,) = within(found, start=at("2026-01-10T00:30:00"), until=at("2026-01-10T03:59:59"))
    assert (kept.first_at, kept.values) == (at("2026-01-10T01:00:00"), (20_000, 30_000))
    assert within(found, start=at("2026-01-10T05:00:00"), until=at("2027-01-01T00:00:00")) == ()
    assert within(found, start=at("2020-01-10T05:00:00"), until=at("2026-01-10T00:30:00")) == ()


@pytest.mark.parametrize(
    ("base", "asset", "stroops"),
    [
        ("EUR", "USD", 10_812_000),
        ("USD", "EUR", 9_248_983),  # 1 / 1.0812 = 0.92489826...
        ("GBP", "USD", 12_872_961),  # 1.0812 / 0.8399 = 1.28729610...
    ],
)
def test_rates_between_any_two_currencies_are_rounded_once(
    base: str, asset: str, stroops: int
) -> None:
    data = rates({"2026-03-27": {"USD": "1.0812", "GBP": "0.8399"}})
    (found,) = ecb.read_rates(data, base=base, asset=asset)
    assert (found.first_at, found.interval_s) == (at("2026-03-27T00:00:00"), DAY_S)
    assert found.values == (stroops,)


def test_a_weekend_without_rates_is_a_gap_and_not_made_up() -> None:
    data = rates({day: {"USD": "1.1"} for day in ("2026-03-26", "2026-03-27", "2026-03-30")})
    found = ecb.read_rates(data, base="EUR", asset="USD")
    assert [len(each.values) for each in found] == [2, 1]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (rates({"2026-03-27": {"GBP": "0.8"}}), "document-unit"),
        (rates({"2026-03-27": {"USD": "0"}}), "rate-not-positive"),
        (rates({"2026-03-27": {"USD": "N/A"}}), "document-number"),
        (rates({"2026-03-27": {"EUR": "1.2", "USD": "1"}}), "document-shape"),
        (rates({"27 March": {"USD": "1.1"}}), "document-shape"),
        (rates({}), "document-shape"),
        (rates({"9999-12-31": {"USD": "1.1"}}), "document-time"),
    ],
)
def test_rates_that_are_not_understood_are_refused(data: bytes, code: str) -> None:
    found = refusal_of(ecb.read_rates, data, base="EUR", asset="USD")
    assert found.code == code
    assert found.field is not None


def test_a_table_of_rates_names_both_currencies() -> None:
    data = b"start,rate_usd_per_eur\n2026-03-27,1.0812\n2026-03-30,1.09\n"
    found = table.read_rates(data, base="EUR", asset="USD")
    assert [each.values for each in found] == [(10_812_000,), (10_900_000,)]
    assert refusal_of(table.read_rates, data, base="USD", asset="EUR").field == "header"
    bad = b"start,rate_usd_per_eur\n2026-03-27,0\n"
    found_bad = refusal_of(table.read_rates, bad, base="EUR", asset="USD")
    assert (found_bad.code, found_bad.field) == ("rate-not-positive", "row.2.rate_usd_per_eur")
