"""The next bill by now is the next bill, if nothing more comes."""

import pytest

from heliograph.foresight.preview import preview
from libs.events.invoicing import InvoiceDrafted, InvoiceIssued
from libs.runtime.failures import NotFound
from tests.foresight.past import FIRST, final, known_of, used
from tests.ownership.scenes import DAY, HOUR, UNIT, to, use, village


def test_the_running_period_is_what_its_bill_will_be() -> None:
    world = used(10)
    use(world, 20)
    to(world, FIRST + 20 * DAY)
    (next_one,) = preview(known_of(world), "sun-0").periods
    assert next_one.invoice == "sun-0-2026-06-16"
    assert next_one.bill.total_stroops == 4 * UNIT
    assert (next_one.ahead_intervals, next_one.unknown_intervals) == (8 * 24, 6 * 24 - 1)
    assert next_one.drafted is None
    to(world, final(2))
    issued = world.real.facts(InvoiceIssued)[-1]
    assert isinstance(issued, InvoiceIssued)
    assert issued.invoice == next_one.invoice
    assert issued.lines == next_one.bill.lines


def test_a_period_that_ended_stands_beside_its_draft_until_it_is_final() -> None:
    world = village(lag_s=5 * 86_400)
    use(world, 10)
    to(world, FIRST + 14 * DAY)
    use(world, 30)
    to(world, FIRST + 15 * DAY)
    found = preview(known_of(world), "sun-0")
    ended, running = found.periods
    draft = world.real.facts(InvoiceDrafted)[-1]
    assert ended.drafted == draft
    assert (ended.bill.total_stroops, running.bill.total_stroops) == (2 * UNIT, 6 * UNIT)
    assert (ended.ahead_intervals, ended.unknown_intervals) == (0, 14 * 24 - 1)
    assert ended.final_at == FIRST + 19 * DAY
    # What comes before it is final, counts in the preview and not in the draft.
    start = FIRST + 3 * DAY
    world.measure("sun-load0", start, 3_600, (5_000,))
    world.measure("sun-pv", start, 3_600, (50_000,))
    world.settle()
    to(world, FIRST + 15 * DAY + HOUR)
    (ended, _) = preview(known_of(world), "sun-0").periods
    assert ended.drafted is not None
    assert (ended.drafted.total_stroops, ended.bill.total_stroops) == (2 * UNIT, 3 * UNIT)


def test_charges_of_the_whole_period_stand_on_it_from_its_first_day_on() -> None:
    world = village(upkeep_payee="olga", upkeep=28 * UNIT, period="28d")
    to(world, FIRST + HOUR)
    (next_one,) = preview(known_of(world), "sun-0").periods
    assert [line.kind for line in next_one.bill.lines] == ["upkeep"]
    to(world, final(1, 28))
    issued = world.real.facts(InvoiceIssued)[-1]
    assert isinstance(issued, InvoiceIssued)
    assert issued.lines == next_one.bill.lines


def test_before_the_first_day_there_is_nothing_to_show() -> None:
    with pytest.raises(NotFound, match="not-begun"):
        preview(known_of(village()), "sun-0")
    with pytest.raises(NotFound, match="unknown-agreement"):
        preview(known_of(village()), "moon")
