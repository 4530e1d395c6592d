"""Laws of bills over random histories: exact sums, any order of streams, nothing kept too long."""

import gc
import random
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import Terms
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceIssued, Tax, Upkeep
from libs.events.metering import ReadingRecorded, RegisterDifferences
from libs.events.pricing import (
    Bucket,
    MarketPrice,
    TariffPrices,
    TariffPublished,
    Tier,
    TimeOfUse,
)
from libs.rules.fast_rating import Grid
from libs.rules.periods import period_from
from libs.rules.tariffs import bucket_at, slot_at
from services.billing.domain import Billing
from services.billing.lines import Priced, Usage, claims_of, lines_of
from services.billing.prices import MarketPrices, Rate
from tests.billing.roof import (
    BILLING,
    LEDGER,
    METERS,
    READINGS,
    agreement,
    billing,
    correction,
    enrolment,
    holding,
    invoices,
    opened,
    reading,
    rules,
    system,
    told,
    with_eve,
)
from tests.billing.test_line_rules import feed, prices_at, publish
from tests.histories import ANY_COMMAND_SIGNED, START, Stage

ZONE = "America/New_York"

letters = st.sampled_from("012")
day_hours = st.lists(letters, min_size=24, max_size=24).map("".join)
year_hours = st.lists(day_hours, min_size=12, max_size=12).map(tuple)
prices = st.integers(0, 10**8)


@st.composite
def tariffs(draw: st.DrawFn) -> TimeOfUse:
    return TimeOfUse(
        buckets=tuple(
            Bucket(
                name=name,
                tiers=(
                    Tier(price_stroops_per_kwh=draw(prices), up_to_wh=draw(st.integers(1, 20_000))),
                    Tier(price_stroops_per_kwh=draw(prices)),
                ),
            )
            for name in "abc"
        ),
        weekday=draw(year_hours),
        weekend=draw(year_hours),
    )


def version(
    number: int, at: datetime, said: TariffPrices, asset: str
) -> tuple[TariffPublished, str]:
    fact = TariffPublished(
        tariff="t",
        version=number,
        asset=asset,
        prices=said,
        effective_from=at,
        command=ANY_COMMAND_SIGNED,
    )
    return fact, f"PRICES:{number}:{'0' * 32}"


@settings(max_examples=40, deadline=None)
@given(
    said=tariffs(),
    fixed=prices,
    seed=st.integers(0, 2**32),
    rate=st.none() | st.integers(1, 10**9),
    day=st.integers(1, 30),
)
def test_every_line_is_the_exact_sum_rounded_once(
    said: TimeOfUse, fixed: int, seed: int, rate: int | None, day: int
) -> None:
    fact = opened("UTC").rules
    assert isinstance(fact, Billing)
    own = fact.accounts.all["agr"].opened.model_copy(
        update={
            "time_zone": ZONE,
            "upkeep": Upkeep(payee="fixit", amount_stroops_per_month=1_234_567),
            "taxes": (Tax(authority="state", rate_ppm=77_777, on=("energy", "running")),),
            "terms": Terms(return_ppm_year=0, minimum_payment_stroops=10**8),
        }
    )
    period = period_from(datetime(2024, 11, day, tzinfo=UTC).date(), "month", ZONE)
    grid = Grid.of(period.from_at, period.until_at, 900)
    energies = np.random.default_rng(seed).integers(0, 200, grid.count)
    change_at = period.from_at + (period.until_at - period.from_at) / 3
    change_at -= timedelta(seconds=change_at.timestamp() % 900)
    asset = "USD" if rate is None else "EUR"
    versions = [
        version(1, period.from_at, TariffPrices(time_of_use=said), asset),
        version(2, change_at, TariffPrices(price_stroops_per_kwh=fixed), asset),
    ]
    usage = Usage(
        grid=grid,
        is_rated=np.ones(grid.count, np.bool_),
        own_wh=energies,
        shared_wh={},
        generated_wh=energies,
        consumed_wh=energies,
    )

    def none(_: str) -> MarketPrices:
        raise AssertionError

    worth = None if rate is None else Rate(rate, f"PRICES:9:{'0' * 32}")
    bill = lines_of(own, period, usage, Priced(versions, none, worth), claims_of(own, period))
    expected = _expected(
        said,
        fixed,
        change_at,
        list(zip(grid.starts.tolist(), energies.tolist(), strict=True)),
        (31 - day, 30),
    )
    factor = Fraction(1) if rate is None else Fraction(rate, 10**7)
    billed = {
        (line.tariff_version, line.bucket, line.tier): line.amount_stroops
        for line in bill.lines
        if line.kind == "use"
    }
    assert billed == {key: round(sum_ * factor) for key, sum_ in expected.items()}
    by_kind = {line.kind: line.amount_stroops for line in bill.lines if line.kind != "use"}
    upkeep = round(Fraction(1_234_567 * (31 - day), 30))
    minimum = round(Fraction(10**8 * (31 - day), 30))
    topped = max(0, minimum - upkeep - sum(billed.values()))
    base = upkeep + topped + sum(billed.values())
    assert by_kind.get("upkeep", 0) == upkeep
    assert by_kind.get("minimum", 0) == topped
    assert by_kind.get("tax", 0) == round(Fraction(base * 77_777, 10**6))
    assert bill.total_stroops == sum(line.amount_stroops for line in bill.lines)


def _expected(
    said: TimeOfUse,
    fixed: int,
    change_at: datetime,
    used: list[tuple[int, int]],
    days: tuple[int, int],
) -> dict[tuple[int, str | None, int | None], Fraction]:
    """The same, Wh by Wh, without arrays: a tier is full or not when an interval begins."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only here

    sums: dict[tuple[int, str | None, int | None], Fraction] = {}
    filled: dict[str, int] = {}
    used_in: dict[tuple[int, str | None, int | None], int] = {}
    for start, energy in used:
        if start >= change_at.timestamp():
            key: tuple[int, str | None, int | None] = (2, None, None)
            sums[key] = sums.get(key, Fraction(0)) + Fraction(energy * fixed, 1_000)
            used_in[key] = used_in.get(key, 0) + energy
            continue
        bucket = bucket_at(said, start, ZoneInfo(ZONE))
        limit = round(Fraction((bucket.tiers[0].up_to_wh or 0) * days[0], days[1]))
        before = filled.get(bucket.name, 0)
        first = max(0, min(energy, limit - before))
        filled[bucket.name] = before + energy
        for tier, part in ((1, first), (2, energy - first)):
            if part:
                key = 1, bucket.name, tier
                price = bucket.tiers[tier - 1].price_stroops_per_kwh
                sums[key] = sums.get(key, Fraction(0)) + Fraction(part * price, 1_000)
                used_in[key] = used_in.get(key, 0) + part
    return {key: total for key, total in sums.items() if used_in.get(key)}


def two_streams() -> Sequence[Recorded[Fact]]:
    """Two systems, two agreements, late readings in another partition, market prices, handover."""
    stage = with_eve(billing())
    publish(stage, market=MarketPrice(feed="spot"), days=0.5)
    told(stage, "PRICES", "spot", feed(), prices_at(*[900_000] * 48))
    stage.when("home", "1", agreement(settlement_lag_s=3_600))
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2", period="14d"))
    history = stage.history
    for day in range(40):
        for meter in ("pv", "load", "load2"):
            at = START + timedelta(days=day - 3 * (meter == "load2") - 20 * (day % 5 == 4))
            values = [100 + day, 50]
            made = reading("pv" if meter == "pv" else "load", day + 1, at, values)
            history.record(READINGS, meter, made.model_copy(update={"meter": meter}))
        if day == 33:
            history.record(READINGS, "pv", correction("pv", START, -30))
            told(stage, "PRICES", "spot", prices_at(*[1_100_000] * 48, hour=48))
        history.advance(START + timedelta(days=day + 1), READINGS, LEDGER)
    return history.facts


FACTS = two_streams()


def bills(stage: Stage) -> list[object]:
    facts = (each.fact for each in stage.history.facts)
    return [
        fact.model_dump(exclude={"due_at", "later_due_at"})
        for fact in facts
        if isinstance(fact, (InvoiceIssued, CreditNoteIssued))
    ]


def played(order: list[int]) -> Stage:
    """The inputs in some order of streams; what is due is decided after every fact."""
    stage = Stage(rules(), BILLING, "pilot")
    stage.history.facts = [fact for fact in FACTS if isinstance(fact.fact, AgreementOpened)]
    stage.history.ends[BILLING] = max(fact.sequence for fact in stage.history.facts)
    for fact in stage.history.facts:
        stage.history._numbers[BILLING, fact.envelope.key] += 1
        stage.given(fact)
    for index in order:
        stage.given(FACTS[index])
        stage.follow_up()
    return stage


def shuffled(seed: int) -> list[int]:
    by_stream: dict[str, list[int]] = {}
    for index, fact in enumerate(FACTS):
        if fact.stream != BILLING:
            by_stream.setdefault(fact.stream, []).append(index)
    order = [name for name, places in by_stream.items() for _ in places]
    random.Random(seed).shuffle(order)
    return [by_stream[name].pop(0) for name in order]


IN_ORDER = bills(played([i for i, fact in enumerate(FACTS) if fact.stream != BILLING]))


def test_the_history_has_invoices_and_what_replaces_them() -> None:
    kinds = [("credit_note" in bill) for bill in IN_ORDER if isinstance(bill, dict)]
    assert kinds.count(False) >= 5
    assert kinds.count(True) >= 2


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_interleaving_of_the_streams_gives_the_same_documents(seed: int) -> None:
    assert bills(played(shuffled(seed))) == IN_ORDER


def village(homes: int, days: int) -> Stage:
    """Systems of one home each, a report of 96 intervals a day for both meters of each."""
    stage = Stage(rules(), BILLING, "pilot")
    history = stage.history
    stage.given(*billing().history.facts[:4])
    stage.given(history.register("home", "recipient"))
    told(
        stage, "PRICES", "fixed", version(1, START, TariffPrices(price_stroops_per_kwh=1), "USD")[0]
    )
    for home in range(homes):
        name = f"s{home}"
        told(stage, LEDGER, name, system().model_copy(update={"system": name}))
        part = {"system": name, "holding": f"h{home}"}
        told(stage, LEDGER, f"h{home}", holding().model_copy(update=part))
        plant = enrolment("pv", "generation").model_copy(
            update={"meter": f"p{home}", "system": name}
        )
        load = enrolment("load", "consumption", f"h{home}").model_copy(
            update={"meter": f"l{home}", "system": name}
        )
        told(stage, METERS, f"p{home}", plant)
        told(stage, METERS, f"l{home}", load)
    stage.advance(0, READINGS, LEDGER)
    for home in range(homes):
        body = agreement(agreement=f"a{home}", holding=f"h{home}", tariff="t")
        stage.when("home", f"c{home}", body)
    for day in range(days):
        for home in range(homes):
            for meter, kind in ((f"p{home}", "pv"), (f"l{home}", "load")):
                fact = reading(kind, day + 1, START + timedelta(days=day), [day, 40] * 48)
                fact = fact.model_copy(update={"meter": meter})
                stage.given(history.record(READINGS, meter, fact))
    return stage


def held(*kinds: type) -> int:
    gc.collect()
    return sum(isinstance(each, kinds) for each in gc.get_objects())


def test_a_close_holds_no_reading_and_few_bytes_an_interval() -> None:
    tracemalloc.start()
    sizes = {}
    for homes in (5, 20):
        stage = village(homes, 31)
        stage.history.facts.clear()
        before = held(ReadingRecorded, RegisterDifferences)
        stage.advance(31, READINGS, LEDGER)
        assert len(invoices(stage)) == homes
        stage.history.facts.clear()
        assert held(ReadingRecorded, RegisterDifferences) == before
        billed = stage.rules
        assert isinstance(billed, Billing)
        kept = sum(log.interval_count for log in billed.inputs.meters.values())
        assert kept == homes * 2 * 31 * 96
        del stage
        gc.collect()
        with_logs = tracemalloc.get_traced_memory()[0]
        billed.inputs.meters.clear()
        gc.collect()
        sizes[homes] = (with_logs - tracemalloc.get_traced_memory()[0]) / kept
    tracemalloc.stop()
    assert all(size < 4 for size in sizes.values()), sizes
    assert sizes[20] == pytest.approx(sizes[5], rel=0.2)


def test_readings_of_a_system_without_agreements_are_not_kept_for_ever() -> None:
    stage = village(1, 0)
    told(stage, LEDGER, "other", system().model_copy(update={"system": "other"}))
    told(
        stage,
        METERS,
        "p9",
        enrolment("pv", "generation").model_copy(update={"meter": "p9", "system": "other"}),
    )
    billed = stage.rules
    assert isinstance(billed, Billing)
    for day in range(200):
        fact = reading("pv", day + 1, START + timedelta(days=day), [1] * 96)
        stage.given(stage.history.record(READINGS, "p9", fact.model_copy(update={"meter": "p9"})))
        stage.advance(day + 1, READINGS, LEDGER)
        assert 0 < billed.inputs.meters["p9"].interval_count <= 8_192 + 96
    assert billed.inputs.meters["p9"].interval_count < 8_192


def test_nothing_is_looked_at_while_nothing_is_due() -> None:
    stage = village(3, 2)
    stage.follow_up()
    billed = stage.rules
    assert isinstance(billed, Billing)
    asked = 0

    def count(*_: object) -> Sequence[Fact]:
        nonlocal asked
        asked += 1
        return ()

    billed._documents = count  # type: ignore[method-assign,assignment]
    for hour in range(24):
        stage.given(*stage.history.advance(START + timedelta(days=3, hours=hour), READINGS, LEDGER))
        assert billed.due()
        stage.follow_up()
    assert asked == 0


def test_a_close_looks_at_each_agreement_twice_however_many_there_are() -> None:
    for homes in (3, 30):
        stage = village(homes, 1)
        billed = stage.rules
        assert isinstance(billed, Billing)
        write, asked = billed._documents, 0

        def count(*of: Any, write: Callable[..., Any] = write) -> Any:
            nonlocal asked
            asked += 1
            return write(*of)

        billed._documents = count  # type: ignore[method-assign,assignment]
        stage.advance(31, READINGS, LEDGER)
        # Draft and invoice, each looked at once more when it is folded and passed over.
        assert asked == 4 * homes
        assert len(invoices(stage)) == homes


def test_slots_of_a_period_are_shared_by_all_its_agreements() -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only here

    from libs.rules.fast_rating import local_slots  # noqa: PLC0415 - only here

    grid = Grid(int(START.timestamp()), 900, 96)
    assert local_slots(grid, ZONE) is local_slots(Grid(grid.first, 900, 96), ZONE)
    assert local_slots(grid, ZONE)[50] == slot_at(grid.first + 50 * 900, ZoneInfo(ZONE))
