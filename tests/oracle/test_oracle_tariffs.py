"""What a tariff may say: one kind of price, above zero, following feeds that there are."""

import json
from datetime import timedelta
from typing import Any

import pytest

from libs.events.billing_commands import DefineFeed, PublishTariff
from libs.events.command import WINDOW_S_MAX
from libs.events.pricing import (
    Bucket,
    FeedIn,
    MarketPrice,
    TariffPrices,
    TariffPublished,
    Tier,
    TimeOfUse,
)
from libs.runtime.failures import Refused
from tests.histories import DEPLOYMENT, START, Stage, key_of
from tests.oracle.staging import oracle, rules

DAY = ("0" * 24,) * 12


def time_of_use(*prices: int) -> TimeOfUse:
    tiers = [
        Tier(price_stroops_per_kwh=price, up_to_wh=(at + 1) * 1_000)
        for at, price in enumerate(prices[:-1])
    ]
    last = Tier(price_stroops_per_kwh=prices[-1])
    bucket = Bucket(name="all", tiers=(*tiers, last))
    return TimeOfUse(buckets=(bucket,), weekday=DAY, weekend=DAY)


def tariff(**changes: Any) -> PublishTariff:
    values: dict[str, Any] = {"tariff": "home", "asset": "EUR", "effective_from": START}
    return PublishTariff(**values | changes)


def with_feeds() -> Stage:
    stage = oracle()
    stage.when("approver", "f1", DefineFeed(feed="spot", rules=rules()))
    rate = rules(kind="rate", base="EUR", asset="USD")
    stage.when("approver", "f2", DefineFeed(feed="dollars", rules=rate))
    return stage


@pytest.mark.parametrize(
    "kind",
    [
        {"price_stroops_per_kwh": 2_000_000},
        {"time_of_use": time_of_use(1, 2)},
        {"market": MarketPrice(feed="spot", add_stroops_per_kwh=-5)},
    ],
    ids=["fixed", "time-of-use", "market"],
)
def test_each_kind_of_price_is_published_as_it_was_asked(kind: dict[str, Any]) -> None:
    more: dict[str, Any] = {
        "standing_stroops_per_month": 9,
        "feed_in": FeedIn(market=MarketPrice(feed="spot")),
        "source_sha256": "cd" * 32,
    }
    (fact,) = with_feeds().when("approver", "t", tariff(**kind, **more))
    assert isinstance(fact, TariffPublished)
    assert fact.prices == TariffPrices(**kind, **more)


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({}, "tariff-kind", "body.price_stroops_per_kwh"),
        (
            {"price_stroops_per_kwh": 1, "market": MarketPrice(feed="spot")},
            "tariff-kind",
            "body.market",
        ),
        ({"price_stroops_per_kwh": 0}, "price-not-positive", "body.price_stroops_per_kwh"),
        (
            {"time_of_use": time_of_use(1, 0)},
            "price-not-positive",
            "body.time_of_use.buckets.0.tiers.1.price_stroops_per_kwh",
        ),
        (
            {"market": MarketPrice(feed="spot", factor_ppm=0)},
            "price-not-positive",
            "body.market.factor_ppm",
        ),
        ({"market": MarketPrice(feed="moon")}, "unknown-feed", "body.market.feed"),
        ({"market": MarketPrice(feed="dollars")}, "unknown-feed", "body.market.feed"),
        (
            {
                "price_stroops_per_kwh": 1,
                "feed_in": FeedIn(market=MarketPrice(feed="moon")),
            },
            "unknown-feed",
            "body.feed_in.market.feed",
        ),
        (
            {"asset": "USD", "market": MarketPrice(feed="spot")},
            "feed-asset",
            "body.market.feed",
        ),
        (
            {"price_stroops_per_kwh": 1, "effective_from": START - timedelta(seconds=1)},
            "effective-in-the-past",
            "body.effective_from",
        ),
    ],
)
def test_a_tariff_that_breaks_a_rule_names_the_field(
    asked: dict[str, Any], code: str, field: str
) -> None:
    stage = with_feeds()
    before = len(stage.history.facts)
    with pytest.raises(Refused) as refusal:
        stage.when("approver", "t", tariff(**asked))
    assert (refusal.value.code, refusal.value.field) == (code, field)
    assert len(stage.history.facts) == before


def test_an_hour_without_a_bucket_is_a_gap_that_is_named() -> None:
    stage = oracle()
    body = tariff(time_of_use=time_of_use(1)).model_dump(mode="json", exclude_none=True)
    body["time_of_use"]["weekend"] = ["0" * 23 + "1", *DAY[1:]]
    nbf = int(START.timestamp())
    claims = {
        "deployment": DEPLOYMENT,
        "service": "oracle",
        "book": "main",
        "id": "t",
        "member": "approver",
        "nbf": nbf,
        "exp": nbf + WINDOW_S_MAX,
        "command": "PublishTariff",
        "body": body,
    }
    text = key_of("approver").sign("hg-command+jws", json.dumps(claims).encode())
    with pytest.raises(Refused) as refusal:
        stage.judge(text)
    assert (refusal.value.code, refusal.value.field) == ("command-schema", "body.time_of_use")
    assert "weekend: a gap in the tariff" in refusal.value.message
