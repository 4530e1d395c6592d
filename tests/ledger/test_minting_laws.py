"""Minting in any order: restarts, snapshots, random readings with corrections."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.timekeeping import TimeReached
from libs.events.trading import EnergyMinted, EnergyShortfallBooked
from services.ledger.domain import Book
from services.ledger.metered import MINT_LAG_S
from tests.histories import START
from tests.ledger.minted import DAY, LEDGER, METERS, QUARTER, READINGS, Sunny, rules

READY = QUARTER + MINT_LAG_S
"""Seconds after its start at which a quarter of an hour is minted."""


def restarted(stage: Sunny) -> Sunny:
    """The same book, folded again from the streams: own facts first, then each input."""
    again = Sunny.__new__(Sunny)
    again.__dict__.update(stage.__dict__)
    again.rules = rules()
    facts = stage.history.facts
    again.given(*(each for each in facts if each.stream == LEDGER))
    for name in ("MEMBERS", "PRICES", METERS, READINGS):
        again.given(*(each for each in facts if each.stream == name))
    return again


def test_after_a_restart_nothing_is_due_that_was_decided_and_the_rest_still_is() -> None:
    stage = Sunny()
    stage.measured([100, 100], [0, 30])
    stage.pass_s(READY)
    stage.given(stage.correction("pv", [-10]))
    stage.follow_up()
    again = restarted(stage)
    assert again.follow_up() == []
    again.pass_s(READY + QUARTER)
    assert again.balance("kwh:ann") == 90 + 70


def test_nothing_is_left_to_be_looked_at_once_it_was_decided() -> None:
    stage = Sunny()
    stage.measured([100] * 96, [30] * 96)
    stage.pass_s(DAY)
    rows = {name: list(rows) for name, rows in stage.ledger.minting.dump().items()}
    assert rows["ready"] == []
    assert {end for end, *_ in rows["metered/pending/touched"]} == {int(START.timestamp()) + DAY}


def rewound(stage: Sunny, seen: dict[str, int]) -> None:
    """The book says a time, having seen so much."""
    end = {each.stream: each.position for each in stage.history.facts}
    stage.given(
        stage.history.record(
            LEDGER,
            "time",
            TimeReached(to=stage.now),
            time=stage.now,
            seen=" ".join(str(end[name]) for name in sorted(seen)),
        )
    )


def test_what_the_book_had_seen_when_it_said_its_time_is_not_asked_again() -> None:
    stage = Sunny()
    stage.measured([100] * 4, [30] * 4)
    stage.pass_s(2 * QUARTER + MINT_LAG_S)
    rewound(stage, {METERS: 0, READINGS: 0})
    again = restarted(stage)
    touched = {end for end, *_ in again.ledger.minting.dump()["metered/pending/touched"]}
    at = int(START.timestamp())
    assert touched == {at + 3 * QUARTER, at + 4 * QUARTER}
    again.pass_s(DAY)
    assert again.balance("kwh:ann") == 4 * 70


# Any readings, corrections and order of arrival.

QUARTERS = 6
HOMES = (("ann", 600), ("bob", 399), ("eve", 1))
PLANT = ("pv", "pv2")
Story = list[tuple[str, int, list[int], bool]]
"""Meter, first quarter, numbers, and whether they are a correction."""


def stories(seed: int) -> Story:
    """Readings of all meters in pieces, some never, and corrections that leave none below zero."""
    chance = random.Random(seed)
    story: Story = []
    for meter in (*PLANT, *(f"load-{member}" for member, _ in HOMES)):
        values = [chance.choice((0, 0, 7, chance.randrange(1_000))) for _ in range(QUARTERS)]
        cut = chance.randrange(QUARTERS + 1)
        pieces = [(0, values[:cut]), (cut, values[cut:])]
        chance.shuffle(pieces)
        missing = chance.random() < 0.1
        for first, piece in pieces[:1] if missing else pieces:
            if piece:
                story.append((meter, first, piece, False))
                left = piece
                for _ in range(chance.randrange(3)):
                    deltas = [chance.randrange(-value, 500) for value in left]
                    left = [value + delta for value, delta in zip(left, deltas, strict=True)]
                    story.append((meter, first, deltas, True))
    return story


def surplus(story: Story) -> dict[tuple[str, int], int]:
    """The surplus of every home by quarter, computed apart from the rules, by exact fractions."""
    energy: dict[tuple[str, int], int] = defaultdict(int)
    for meter, first, numbers, _ in story:
        for index, number in enumerate(numbers, first):
            energy[meter, index] += number
    found = {}
    for quarter in range(QUARTERS):
        meters = (*PLANT, *(f"load-{member}" for member, _ in HOMES))
        if any((meter, quarter) not in energy for meter in meters):
            continue
        generated = sum(energy[meter, quarter] for meter in PLANT)
        entitled = largest_remainder(generated, [units for _, units in HOMES])
        consumed = [energy[f"load-{member}", quarter] for member, _ in HOMES]
        spare = [max(0, part - use) for part, use in zip(entitled, consumed, strict=True)]
        lacking = sum(max(0, use - part) for part, use in zip(entitled, consumed, strict=True))
        given_away = largest_remainder(min(sum(spare), lacking), spare)
        for (member, _), left, gone in zip(HOMES, spare, given_away, strict=True):
            found[member, quarter] = left - gone
    return found


def largest_remainder(amount: int, weights: Sequence[int]) -> list[int]:
    total = sum(weights) or 1
    parts = [amount * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
    for index in order[: amount - sum(parts)]:
        parts[index] += 1
    return parts


def told(stage: Sunny, story: Story) -> list[Recorded[Fact]]:
    return [
        stage.correction(meter, numbers, first)
        if is_correction
        else stage.reading(meter, numbers, first)
        for meter, first, numbers, is_correction in story
    ]


def minted_by_quarter(facts: Iterable[Fact]) -> dict[tuple[str, int], int]:
    """Minted less taken back, by member and quarter; only what is not zero."""
    sums: dict[tuple[str, int], int] = defaultdict(int)
    for fact in facts:
        if isinstance(fact, EnergyMinted | EnergyShortfallBooked):
            sign = 1 if isinstance(fact, EnergyMinted) else -1
            for each in fact.intervals:
                quarter = int((each.from_at - START).total_seconds()) // QUARTER
                sums[fact.member, quarter] += sign * each.energy_wh
    return {place: energy_wh for place, energy_wh in sums.items() if energy_wh}


def interleaved(story: Story, seed: int) -> Story:
    """The meters' facts in any order, those of one meter in their own."""
    chance = random.Random(seed)
    rows: dict[str, Story] = defaultdict(list)
    for each in story:
        rows[each[0]].append(each)
    order = [meter for meter, row in rows.items() for _ in row]
    chance.shuffle(order)
    return [rows[meter].pop(0) for meter in order]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_minted_less_shortfall_is_the_surplus_in_any_order_of_arrival(seed: int) -> None:
    story, expected = stories(seed), surplus(stories(seed))
    wanted = {place: energy_wh for place, energy_wh in expected.items() if energy_wh}
    balances = []
    for order in range(2):
        chance = random.Random(seed + order)
        stage = Sunny(HOMES, PLANT)
        for fact in told(stage, interleaved(story, seed + order)):
            stage.given(fact)
            if chance.random() < 0.5:
                stage.follow_up()
            if chance.random() < 0.3:
                seconds = int((stage.now - START).total_seconds())
                stage.pass_s(seconds + chance.randrange(3 * QUARTER))
        stage.pass_s(2 * DAY)
        assert minted_by_quarter(each.fact for each in stage.history.facts) == wanted
        accounts = {*(f"kwh:{member}" for member, _ in HOMES)}
        accounts |= {f"issued:meter:{meter}" for meter in PLANT}
        balances.append({name: stage.balance(name) for name in sorted(accounts)})
        assert restarted(stage).follow_up() == []
    assert balances[0] == balances[1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.floats(0, 1))
def test_a_snapshot_at_any_place_changes_nothing(seed: int, cut: float) -> None:
    stage = Sunny(HOMES, PLANT)
    chance = random.Random(seed)
    for fact in told(stage, interleaved(stories(seed), seed)):
        stage.given(fact)
        if chance.random() < 0.3:
            stage.pass_s(int((stage.now - START).total_seconds()) + chance.randrange(DAY))
    facts = stage.history.facts
    place = int(cut * len(facts))
    whole, first, second = rules(), rules(), rules()
    for fact in facts:
        whole.evolve(fact)
    for fact in facts[:place]:
        first.evolve(fact)
    rows = json.loads(json.dumps({name: list(rows) for name, rows in first.dump().items()}))
    second.load(rows)
    for fact in facts[place:]:
        second.evolve(fact)
    assert _rows(whole) == _rows(second)
    assert whole.due() == second.due()


def _rows(book: Book) -> dict[str, list[str]]:
    """The state of minting, where order is none of it."""
    return {name: sorted(map(json.dumps, rows)) for name, rows in book.minting.dump().items()}
