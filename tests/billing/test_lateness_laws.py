"""Laws of lateness over random histories: order, once, distance, replay, and a count of days."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.dunning import AlertRaised, EscalationReached, ReminderSent, SternNoticeSent
from tests.billing.lateness_model import OPERATIONS, Play
from tests.billing.lateness_world import name_of

SHAPES = {
    "grace": st.integers(2, 6),
    "notice": st.sampled_from([0, 7, 30]),
    "has_offtaker": st.booleans(),
}


@settings(max_examples=250, deadline=None)
@given(operations=OPERATIONS, restarts=st.booleans(), **SHAPES)
def test_every_history_climbs_as_a_count_of_days_says_and_a_restart_loses_nothing(
    operations: list[tuple[Any, ...]],
    restarts: bool,
    grace: int,
    notice: int,
    has_offtaker: bool,
) -> None:
    play = Play(grace, notice, has_offtaker=has_offtaker, restarts=restarts).run(operations)
    assert play.found == play.expected


@settings(max_examples=100, deadline=None)
@given(operations=OPERATIONS, **SHAPES)
def test_steps_come_in_order_each_once_and_never_too_close(
    operations: list[tuple[Any, ...]], grace: int, notice: int, has_offtaker: bool
) -> None:
    play = Play(grace, notice, has_offtaker=has_offtaker, restarts=False).run(operations)
    order = [name for _, _, name in play.model.rungs]
    for (_, before), (_, after) in pairwise(play.found):
        assert after - before >= notice
    for (first, _), (second, _) in pairwise(play.found):
        assert second in {order[0], *order[order.index(first) + 1 : order.index(first) + 2]}
    steps = (ReminderSent, AlertRaised, SternNoticeSent, EscalationReached)
    facts = [each for each in play.world.history.facts if isinstance(each.fact, steps)]
    assert [name_of(each.fact) for each in facts] == [name for name, _ in play.found]
    assert len({each.envelope.id for each in facts}) == len(facts)
