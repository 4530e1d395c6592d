"""An oracle on the stage, with sources that observe feeds."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from libs.events.billing_commands import DefineFeed, Observe
from libs.events.fact import Fact
from libs.events.pricing import FeedRules, Observation, PricePublished
from libs.rules.authority import Authority
from services.oracle.domain import Oracle
from tests.histories import DEPLOYMENT, START, History, Stage

HOUR_S = 3_600
SOURCES = ("north", "south", "west")
DOCUMENT = "ab" * 32


def new_oracle() -> Oracle:
    return Oracle(
        authority=Authority(deployment=DEPLOYMENT, service="oracle", book="main"),
        stream="PRICES",
        followers={},
        played_from=None,
    )


def oracle(history: History | None = None) -> Stage:
    stage = Stage(new_oracle(), "PRICES", "main", history)
    stage.given(stage.history.register("approver", "approver"))
    for member in (*SOURCES, "home"):
        stage.given(stage.history.register(member, "recipient"))
    stage.advance(0)
    return stage


def rules(**changes: Any) -> FeedRules:
    values: dict[str, Any] = {
        "kind": "price",
        "asset": "EUR",
        "sources": SOURCES,
        "quorum": 2,
        "staleness_s": 2 * 86_400,
        "fence_ppm": 100_000,
        "settle_s": HOUR_S,
    }
    return FeedRules.model_validate(values | changes)


def with_feed(**changes: Any) -> Stage:
    stage = oracle()
    stage.when("approver", "feed", DefineFeed(feed="spot", rules=rules(**changes)))
    return stage


def observe(*values: int, hours: float = 0, step_s: int = HOUR_S, feed: str = "spot") -> Observe:
    first_at = START + timedelta(hours=hours)
    observed = Observation(first_at=first_at, interval_s=step_s, values=values)
    return Observe(feed=feed, observed=observed, document_sha256=DOCUMENT)


def say(stage: Stage, source: str, *values: int, **where: Any) -> list[Fact]:
    """A source observes, and what follows at once is returned."""
    body = observe(*values, **where)
    command_id = f"o{len(stage.history.facts)}"
    (_,) = stage.when(source, command_id, body)
    return stage.follow_up()


def pass_time(stage: Stage, seconds: float) -> list[Fact]:
    """Time advances, and what follows is returned."""
    stage.now += timedelta(seconds=seconds)
    stage.given(*stage.history.advance(stage.now))
    return stage.follow_up()


def values_of(facts: Sequence[Fact]) -> list[tuple[float, tuple[int, ...]]]:
    """What was published: hours after the start, and the values."""
    assert all(isinstance(fact, PricePublished) for fact in facts)
    return [
        (
            (fact.published.first_at - START).total_seconds() / HOUR_S,
            fact.published.values,
        )
        for fact in facts
        if isinstance(fact, PricePublished)
    ]
