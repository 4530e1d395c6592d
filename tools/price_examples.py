"""The examples of prices: tariffs of every kind, a feed of market prices and one of a rate."""

from dataclasses import replace
from datetime import timedelta

from libs.events import billing_commands as asked
from libs.events import pricing
from libs.events.command import Command
from libs.events.fact import Fact
from libs.events.positions import write_cause
from tools.example_parts import (
    AUGUST,
    JULY,
    NOON,
    PRICES,
    SPRING,
    USD,
    Example,
    at,
    claims,
    from_command,
    from_time,
    least_of,
    signed,
)

MARKET = pricing.MarketPrice(feed="day-ahead", factor_ppm=1_100_000, add_stroops_per_kwh=-5_000)
PEAK_DAY = "0" * 8 + "1" * 12 + "0" * 4
TIME_OF_USE = pricing.TimeOfUse(
    buckets=(
        pricing.Bucket(name="night", tiers=(pricing.Tier(price_stroops_per_kwh=1_200_000),)),
        pricing.Bucket(
            name="peak",
            tiers=(
                pricing.Tier(price_stroops_per_kwh=2_000_000, up_to_wh=200_000),
                pricing.Tier(price_stroops_per_kwh=2_600_000),
            ),
        ),
    ),
    weekday=(PEAK_DAY,) * 12,
    weekend=("0" * 24,) * 12,
)
DOCUMENT_SHA256 = "5a" * 32
RATE_RULES = pricing.FeedRules(
    kind="rate",
    asset=USD,
    base="EUR",
    sources=("quinn", "rada", "sami"),
    quorum=2,
    staleness_s=86_400,
    fence_ppm=100_000,
    settle_s=600,
)
DAY_AHEAD = pricing.Observation(
    first_at=NOON, interval_s=3_600, values=(412_300, 380_000, -12_500, 0)
)

TARIFF = claims(
    "anna",
    "fixed-price",
    asked.PublishTariff(
        tariff="fixed-20-cents", asset=USD, price_stroops_per_kwh=2_000_000, effective_from=JULY
    ),
    "main",
    SPRING,
)
TARIFF_BY_TIME = claims(
    "anna",
    "by-time",
    asked.PublishTariff(
        tariff="foothills",
        asset="EUR",
        effective_from=JULY,
        time_of_use=TIME_OF_USE,
        standing_stroops_per_month=30_000_000,
        feed_in=pricing.FeedIn(price_stroops_per_kwh=700_000),
        source_sha256=DOCUMENT_SHA256,
    ),
    "main",
    SPRING,
)
TARIFF_BY_MARKET = claims(
    "anna",
    "by-market",
    asked.PublishTariff(
        tariff="foothills",
        asset="EUR",
        effective_from=AUGUST,
        market=MARKET,
        feed_in=pricing.FeedIn(market=MARKET),
    ),
    "main",
    JULY,
)
DEFINE = claims(
    "anna", "define-rate", asked.DefineFeed(feed="eur-usd", rules=RATE_RULES), "main", SPRING
)
OBSERVE = claims(
    "quinn",
    "day-ahead-1",
    asked.Observe(feed="day-ahead", observed=DAY_AHEAD, document_sha256=DOCUMENT_SHA256),
    "main",
    JULY,
)
RELEASE = claims(
    "anna", "release-sami", asked.ReleaseSource(feed="day-ahead", source="sami"), "main", AUGUST
)

PRICE_COMMANDS = (TARIFF, TARIFF_BY_TIME, DEFINE, OBSERVE, RELEASE)
"""Every command about prices, each shape once, the first shape first."""


def _tariffs() -> list[Example]:
    by_time = pricing.TariffPrices(
        time_of_use=TIME_OF_USE,
        standing_stroops_per_month=30_000_000,
        feed_in=pricing.FeedIn(price_stroops_per_kwh=700_000),
        source_sha256=DOCUMENT_SHA256,
    )
    by_market = pricing.TariffPrices(market=MARKET, feed_in=pricing.FeedIn(market=MARKET))
    fixed = pricing.TariffPrices(price_stroops_per_kwh=2_000_000)
    first = pricing.TariffPublished(
        tariff="foothills",
        version=1,
        asset="EUR",
        prices=by_time,
        effective_from=JULY,
        command=signed(TARIFF_BY_TIME),
    )
    second = first.model_copy(
        update={
            "version": 2,
            "prices": by_market,
            "effective_from": AUGUST,
            "command": signed(TARIFF_BY_MARKET),
        }
    )
    plain = pricing.TariffPublished(
        tariff="fixed-20-cents",
        version=1,
        asset=USD,
        prices=fixed,
        effective_from=JULY,
        command=signed(TARIFF),
    )
    of_market = _of(TARIFF_BY_MARKET, "tariff", "foothills", second, 13)
    of_plain = _of(TARIFF, "tariff", "fixed-20-cents", plain, 11)
    return [
        _of(TARIFF_BY_TIME, "tariff", "foothills", first, 12),
        replace(of_market, variant="market"),
        replace(of_plain, variant="fixed"),
        least_of(of_plain),
    ]


def _feeds() -> list[Example]:
    defined = pricing.FeedDefined(feed="eur-usd", rules=RATE_RULES, command=signed(DEFINE))
    of_prices = RATE_RULES.model_copy(update={"kind": "price", "base": None})
    observed = pricing.PriceObserved(
        observation="quinn.day-ahead-1",
        feed="day-ahead",
        source="quinn",
        observed=DAY_AHEAD,
        document_sha256=DOCUMENT_SHA256,
        command=signed(OBSERVE),
    )
    made_of = (
        pricing.Used(source="quinn", position=str(at(PRICES, 21)), is_outlier=False),
        pricing.Used(source="rada", position=str(at(PRICES, 22)), is_outlier=False),
        pricing.Used(source="sami", position=str(at(PRICES, 23)), is_outlier=True),
    )
    price = pricing.PricePublished(
        feed="day-ahead", asset=USD, published=DAY_AHEAD, made_of=made_of
    )
    rate = pricing.RatePublished(
        feed="eur-usd",
        base="EUR",
        asset=USD,
        from_at=JULY,
        rate_stroops=11_000_000,
        made_of=made_of,
    )
    quarantined = pricing.SourceQuarantined(feed="day-ahead", source="sami", outliers=3)
    released = pricing.SourceReleased(feed="day-ahead", source="sami", command=signed(RELEASE))
    stale = pricing.FeedStale(feed="day-ahead", last_until=NOON + timedelta(hours=4))
    seen = write_cause(at(PRICES, 23), "sami.day-ahead-7")
    first = _of(DEFINE, "feed", "eur-usd", defined, 20)
    return [
        first,
        least_of(first, feed="day-ahead", rules=of_prices),
        _of(OBSERVE, "observed", "day-ahead", observed, 21),
        Example(PRICES, "day-ahead", price, "day-ahead.1.published", JULY, seen, 5, 24),
        Example(PRICES, "eur-usd", rate, "eur-usd.1.published", JULY, seen, 3, 25),
        Example(PRICES, "day-ahead", quarantined, "day-ahead.sami.out", JULY, seen, 6, 26),
        _of(RELEASE, "released", "day-ahead", released, 27),
        from_time(PRICES, "day-ahead", "day-ahead.stale", stale, AUGUST),
    ]


def _of(command: Command, kind: str, key: str, fact: Fact, sequence: int) -> Example:
    return from_command(PRICES, command, kind, key, fact, sequence=sequence)


def price_examples() -> list[Example]:
    """One full example of every fact about prices; of a tariff one of each kind."""
    return [*_tariffs(), *_feeds()]
