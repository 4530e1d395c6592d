"""From observations to prices: quorum, settling, outliers, quarantine, staleness."""

from datetime import timedelta
from typing import Any

import pytest

from libs.events.billing_commands import DefineFeed, ReleaseSource
from libs.events.pricing import (
    FeedStale,
    PricePublished,
    RatePublished,
    SourceQuarantined,
    SourceReleased,
)
from libs.runtime.failures import Refused
from services.oracle import feed as feed_module
from services.oracle.domain import Oracle
from tests.histories import START, Stage
from tests.oracle.staging import (
    HOUR_S,
    SOURCES,
    new_oracle,
    observe,
    oracle,
    pass_time,
    rules,
    say,
    values_of,
    with_feed,
)

DAY_S = 86_400


def refusal_of(stage: Stage, member: str, body: Any) -> tuple[str, str | None]:
    before = len(stage.history.facts)
    with pytest.raises(Refused) as refusal:
        stage.when(member, f"r{before}", body)
    assert len(stage.history.facts) == before
    return refusal.value.code, refusal.value.field


def test_all_sources_together_publish_at_once_the_median() -> None:
    stage = with_feed()
    assert say(stage, "north", 100, 200) == []
    assert say(stage, "south", 104, 190) == []
    (fact,) = say(stage, "west", 102, 210)
    assert isinstance(fact, PricePublished)
    assert (fact.asset, fact.published.values) == ("EUR", (102, 200))
    assert [(used.source, used.is_outlier) for used in fact.made_of] == [
        ("north", False),
        ("south", False),
        ("west", False),
    ]
    observed = {str(each.position) for each in stage.history.facts if each.stream == "PRICES"}
    assert {used.position for used in fact.made_of} <= observed


def test_a_quorum_waits_for_the_others_until_the_second_in_which_it_has_settled() -> None:
    stage = with_feed()
    say(stage, "north", 100)
    assert say(stage, "south", 103) == []
    assert pass_time(stage, HOUR_S - 1) == []
    assert values_of(pass_time(stage, 1)) == [(0, (102,))]  # 101.5 to the even one


def test_one_source_is_no_quorum_and_nothing_is_made_up() -> None:
    stage = with_feed()
    say(stage, "north", 100)
    assert pass_time(stage, DAY_S) == []
    assert pass_time(stage, 5 * DAY_S) == []


def test_what_comes_too_late_is_kept_and_changes_nothing() -> None:
    stage = with_feed()
    say(stage, "north", 100)
    say(stage, "south", 100)
    pass_time(stage, HOUR_S)
    assert say(stage, "west", 900) == []
    assert pass_time(stage, HOUR_S) == []


def test_blocks_of_different_lengths_are_joined_where_the_same_sources_speak() -> None:
    stage = with_feed()
    say(stage, "north", 1, 2, 3, 4)
    say(stage, "south", 1, 2, hours=0)
    assert values_of(say(stage, "west", 1, 2, 3)) == [(0, (1, 2))]
    assert values_of(pass_time(stage, HOUR_S)) == [(2, (3,))]
    assert values_of(say(stage, "south", 4, hours=3)) == []
    assert values_of(say(stage, "west", 4, hours=3)) == [(3, (4,))]


def test_intervals_of_another_length_never_overlap_what_is_published() -> None:
    stage = with_feed(sources=("north",), quorum=1)
    assert values_of(say(stage, "north", 8, hours=0)) == [(0, (8,))]
    stage.when("approver", "f2", DefineFeed(feed="spot", rules=rules(quorum=1, settle_s=0)))
    assert say(stage, "south", 1, 2, 3, 4, hours=0, step_s=900) == []
    assert pass_time(stage, HOUR_S) == []
    assert values_of(say(stage, "south", 5, hours=1, step_s=900)) == [(1, (5,))]


def test_an_outlier_counts_for_no_quorum() -> None:
    stage = with_feed(sources=("north", "south"))
    say(stage, "north", 100)
    assert say(stage, "south", 200) == []
    assert pass_time(stage, HOUR_S) == []


def test_an_outlier_is_named_and_does_not_move_the_price_past_the_honest() -> None:
    stage = with_feed()
    say(stage, "north", 100)
    say(stage, "south", 105)
    (fact,) = say(stage, "west", 5_000)
    assert isinstance(fact, PricePublished)
    assert fact.published.values == (105,)
    assert [used.source for used in fact.made_of if used.is_outlier] == ["west"]


def lie(stage: Stage, times: int, start: int = 0) -> list[Any]:
    found: list[Any] = []
    for hour in range(start, start + times):
        say(stage, "north", 100, hours=hour)
        say(stage, "south", 100, hours=hour)
        found += say(stage, "west", 900, hours=hour)
    return found


def test_three_outliers_in_a_row_are_a_quarantine() -> None:
    stage = with_feed()
    assert [type(fact) for fact in lie(stage, 3)] == [PricePublished] * 3 + [SourceQuarantined]
    assert refusal_of(stage, "west", observe(1, hours=9)) == ("source-quarantined", "member")
    # Nobody waits for him any more.
    say(stage, "north", 100, hours=9)
    assert values_of(say(stage, "south", 100, hours=9)) == [(9, (100,))]


def test_one_good_value_between_outliers_is_forgiven() -> None:
    stage = with_feed()
    lie(stage, 2)
    for source in SOURCES:
        say(stage, source, 100, hours=2)
    assert not any(isinstance(fact, SourceQuarantined) for fact in lie(stage, 2, start=3))


def test_who_is_quarantined_stops_counting_in_what_waits() -> None:
    stage = with_feed(quorum=2)
    say(stage, "west", 900, 900, 900, 100, hours=0)  # the last hour waits for the others
    facts = []
    for hour in range(3):
        say(stage, "north", 100, hours=hour)
        facts += say(stage, "south", 100, hours=hour)
    assert isinstance(facts[-1], SourceQuarantined)
    assert say(stage, "north", 100, hours=3) == []
    (fact,) = say(stage, "south", 102, hours=3)
    assert isinstance(fact, PricePublished)
    assert (fact.published.values, [used.source for used in fact.made_of]) == (
        (101,),
        ["north", "south"],
    )


def test_an_approver_releases_a_source_and_the_count_begins_anew() -> None:
    stage = with_feed()
    lie(stage, 3)
    (fact,) = stage.when("approver", "free", ReleaseSource(feed="spot", source="west"))
    assert isinstance(fact, SourceReleased)
    assert stage.follow_up() == []
    assert not any(isinstance(each, SourceQuarantined) for each in lie(stage, 2, start=4))
    facts = lie(stage, 1, start=7)
    assert isinstance(facts[-1], SourceQuarantined)
    ids = [
        each.envelope.id for each in stage.history.facts if each.envelope.id[:10] == "quarantine"
    ]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(("after_s", "is_told"), [(-1, False), (0, True)])
def test_a_feed_is_stale_from_the_second_of_its_limit_on(after_s: int, is_told: bool) -> None:
    stage = with_feed()
    for source in SOURCES:
        say(stage, source, 100)
    facts = pass_time(stage, HOUR_S + 2 * DAY_S + after_s)
    until = START + timedelta(seconds=HOUR_S)
    assert facts == ([FeedStale(feed="spot", last_until=until)] if is_told else [])


def test_staleness_is_said_once_until_something_newer_comes() -> None:
    stage = with_feed()
    for source in SOURCES:
        say(stage, source, 100)
    assert len(pass_time(stage, 4 * DAY_S)) == 1
    assert pass_time(stage, 4 * DAY_S) == []
    facts = [fact for source in SOURCES for fact in say(stage, source, 100, hours=8 * 24)]
    assert values_of(facts) == [(8 * 24, (100,))]
    assert len(pass_time(stage, 4 * DAY_S)) == 1


def test_what_was_old_when_it_came_makes_nothing_stale() -> None:
    stage = with_feed(sources=("north",), quorum=1)
    assert values_of(say(stage, "north", 1, 2, hours=-20 * 24)) == [(-20 * 24, (1, 2))]
    assert pass_time(stage, 9 * DAY_S) == []


def test_what_a_source_said_long_ago_does_not_count() -> None:
    stage = with_feed(sources=("north", "south"))
    say(stage, "north", 100, hours=72)
    pass_time(stage, 2 * DAY_S)
    assert say(stage, "south", 100, hours=72) == []
    assert pass_time(stage, HOUR_S) == []


def test_a_rate_holds_from_its_day_and_never_goes_back() -> None:
    stage = oracle()
    given = rules(kind="rate", base="EUR", asset="USD", quorum=1, sources=("north", "south"))
    stage.when("approver", "f", DefineFeed(feed="dollars", rules=given))
    day: dict[str, Any] = {"step_s": DAY_S, "feed": "dollars"}
    say(stage, "north", 10_800_000, 10_900_000, **day)
    facts = say(stage, "south", 10_800_000, 10_900_000, **day)
    assert [fact for fact in facts if not isinstance(fact, RatePublished)] == []
    assert [
        (fact.from_at, fact.rate_stroops) for fact in facts if isinstance(fact, RatePublished)
    ] == [(START, 10_800_000), (START + timedelta(days=1), 10_900_000)]
    say(stage, "north", 9, hours=-24, **day)
    assert say(stage, "south", 9, hours=-24, **day) == []
    assert refusal_of(stage, "north", observe(5, 0, hours=48, **day)) == (
        "rate-not-positive",
        "body.observed.values.1",
    )


def test_prices_below_zero_are_published_as_they_are() -> None:
    stage = with_feed(sources=("north", "south"))
    say(stage, "north", -100, 0)
    assert values_of(say(stage, "south", -101, 0)) == [(0, (-100, 0))]


@pytest.mark.parametrize(
    ("member", "body", "code", "field"),
    [
        ("home", observe(1), "not-a-source", "member"),
        ("north", observe(1, feed="moon"), "unknown-feed", "body.feed"),
        ("north", observe(1, step_s=7_000), "observation-grid", "body.observed.interval_s"),
        ("north", observe(1, hours=0.5), "observation-grid", "body.observed.first_at"),
        ("north", observe(1, hours=-35 * 24 - 1), "observation-too-old", "body.observed.first_at"),
        ("north", observe(1, hours=35 * 24), "observation-too-far", "body.observed.first_at"),
    ],
)
def test_an_observation_that_breaks_a_rule_is_refused(
    member: str, body: Any, code: str, field: str
) -> None:
    assert refusal_of(with_feed(), member, body) == (code, field)


@pytest.mark.parametrize("hours", [-35 * 24, 35 * 24 - 1])
def test_the_oldest_and_the_farthest_interval_are_taken(hours: int) -> None:
    stage = with_feed(sources=("north",), quorum=1)
    assert values_of(say(stage, "north", 7, hours=hours)) == [(hours, (7,))]


@pytest.mark.parametrize("hours", [0, 1, 3])
def test_nobody_observes_an_interval_twice(hours: int) -> None:
    stage = with_feed()
    say(stage, "north", 1, 2, hours=0)
    say(stage, "north", 3, 4, hours=3)
    assert refusal_of(stage, "north", observe(1, 1, hours=hours)) == (
        "observation-overlaps",
        "body.observed.first_at",
    )
    assert say(stage, "north", 9, hours=2) == []  # what lies between is free


def test_a_feed_has_room_for_so_many_intervals_of_each_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.oracle.feeds.PENDING_MAX", 3)
    stage = with_feed()
    say(stage, "north", 1, 2, 3)
    assert refusal_of(stage, "north", observe(4, hours=3)) == ("feed-full", None)
    say(stage, "south", 4, hours=3)  # who says too much keeps nobody else from speaking
    say(stage, "south", 1, 2)  # the same intervals


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"sources": ("north", "stranger")}, "unknown-member", "body.rules.sources.1"),
        ({"settle_s": 2 * DAY_S}, "feed-settle", "body.rules.settle_s"),
        ({"kind": "rate", "base": "EUR"}, "feed-base", "body.rules.base"),
    ],
)
def test_rules_of_a_feed_that_cannot_work_are_refused(
    changes: dict[str, Any], code: str, field: str
) -> None:
    body = DefineFeed(feed="spot", rules=rules(**changes))
    assert refusal_of(oracle(), "approver", body) == (code, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"kind": "rate", "base": "USD"}, "feed-kind", "body.rules.kind"),
        ({"asset": "USD"}, "feed-asset", "body.rules.asset"),
    ],
)
def test_a_feed_stays_what_it_is(changes: dict[str, Any], code: str, field: str) -> None:
    body = DefineFeed(feed="spot", rules=rules(**changes))
    assert refusal_of(with_feed(), "approver", body) == (code, field)


def test_new_rules_hold_for_what_waits() -> None:
    stage = with_feed(quorum=3)
    say(stage, "north", 100)
    say(stage, "south", 100)
    pass_time(stage, HOUR_S)
    changed = rules(sources=("north", "south"), quorum=2)
    stage.when("approver", "f2", DefineFeed(feed="spot", rules=changed))
    assert values_of(stage.follow_up()) == [(0, (100,))]


def test_only_an_approver_defines_and_releases() -> None:
    stage = with_feed()
    for body in (DefineFeed(feed="x", rules=rules()), ReleaseSource(feed="spot", source="west")):
        assert refusal_of(stage, "north", body) == ("wrong-role", "member")
    assert refusal_of(stage, "approver", ReleaseSource(feed="spot", source="west")) == (
        "not-quarantined",
        "body.source",
    )
    unknown = ReleaseSource(feed="moon", source="west")
    assert refusal_of(stage, "approver", unknown) == ("unknown-feed", "body.feed")


def test_nothing_is_looked_at_while_nothing_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = with_feed()
    say(stage, "north", *range(1, 200))
    looked: list[int] = []
    ready = feed_module.Feed.ready

    def counted(self: feed_module.Feed, now: int, count: int) -> Any:
        looked.append(now)
        return ready(self, now, count)

    monkeypatch.setattr(feed_module.Feed, "ready", counted)
    for _ in range(100):
        pass_time(stage, 60)
    assert looked == []


@pytest.mark.parametrize("part", range(1, 12))
def test_a_restart_at_any_point_goes_on_as_if_there_had_been_none(part: int) -> None:
    stage = with_feed()
    facts = lie(stage, 2)
    say(stage, "north", 100, hours=5)
    say(stage, "south", 100, hours=5)
    facts += pass_time(stage, HOUR_S)
    facts += pass_time(stage, 9 * DAY_S)
    assert {type(fact) for fact in facts} == {PricePublished, FeedStale}
    told = stage.history.facts
    cut = len(told) * part // 12
    again = new_oracle()
    for recorded in told[:cut]:
        again.evolve(recorded)
    again.due()
    for recorded in told[cut:]:
        again.evolve(recorded)
    assert list(again.due()) == []
    fresh = stage.rules
    assert isinstance(fresh, Oracle)
    left, right = fresh.feeds._feeds["spot"], again.feeds._feeds["spot"]
    assert (left.outliers, left.last_until, left.pending) == (
        right.outliers,
        right.last_until,
        right.pending,
    )
