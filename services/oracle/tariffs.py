"""Tariffs: versions that hold one after the other. Pure.

A version holds from its first instant until the next one begins, so nothing is left between two of
them and no two hold at once.

Source: domain rules, section 4.
"""

from collections.abc import Callable

from libs.events.billing_commands import PublishTariff
from libs.events.envelope import Draft
from libs.events.pricing import FeedRules, MarketPrice, TariffPrices, TariffPublished
from libs.events.quantities import format_instant
from libs.rules.authority import Order
from libs.runtime.failures import Refused

RulesOf = Callable[[str], FeedRules | None]
"""Asks for the rules of a feed; None: there is none."""


class Tariffs:
    """The last version of every tariff."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last: dict[str, TariffPublished] = {}

    def evolve(self, fact: TariffPublished) -> None:
        """Fold a version."""
        self._last[fact.tariff] = fact

    def publish(self, order: Order, body: PublishTariff, rules_of: RulesOf) -> Draft:
        """Decide `PublishTariff`.

        Args:
            order: The command.
            body: What is asked.
            rules_of: Knows the feeds.

        Raises:
            Refused: The signer is no approver, or a field breaks its rule.
        """
        order.require("approver")
        _check_prices(body)
        _check_feeds(body, rules_of)
        last = self._last.get(body.tariff)
        _check_order(order, body, last)
        fact = TariffPublished(
            tariff=body.tariff,
            version=1 if last is None else last.version + 1,
            asset=body.asset,
            prices=prices_of(body),
            effective_from=body.effective_from,
            command=order.text,
        )
        return Draft(body.tariff, fact, f"{order.id}.tariff", order.time)


def prices_of(body: PublishTariff) -> TariffPrices:
    """What a command says of prices, as the fact says it."""
    return TariffPrices(
        price_stroops_per_kwh=body.price_stroops_per_kwh,
        time_of_use=body.time_of_use,
        market=body.market,
        standing_stroops_per_month=body.standing_stroops_per_month or 0,
        feed_in=body.feed_in,
        source_sha256=body.source_sha256,
    )


def _check_prices(body: PublishTariff) -> None:
    """One kind of price, and energy is never given away by it."""
    kinds = {
        "price_stroops_per_kwh": body.price_stroops_per_kwh,
        "time_of_use": body.time_of_use,
        "market": body.market,
    }
    told = [name for name, kind in kinds.items() if kind is not None]
    if len(told) != 1:
        raise Refused(
            "tariff-kind",
            f"exactly one of {', '.join(kinds)}; told: {', '.join(told) or 'none'}",
            field=f"body.{told[1] if told else 'price_stroops_per_kwh'}",
        )
    if body.price_stroops_per_kwh == 0:
        raise _not_positive("a fixed price", "price_stroops_per_kwh")
    if body.market is not None and body.market.factor_ppm == 0:
        raise _not_positive("the factor of a market price", "market.factor_ppm")
    for place, bucket in enumerate(() if body.time_of_use is None else body.time_of_use.buckets):
        for number, tier in enumerate(bucket.tiers):
            if tier.price_stroops_per_kwh == 0:
                path = f"time_of_use.buckets.{place}.tiers.{number}.price_stroops_per_kwh"
                raise _not_positive("the price of a tier", path)


def _not_positive(what: str, field: str) -> Refused:
    return Refused("price-not-positive", f"{what} is above zero", field=f"body.{field}")


def _check_feeds(body: PublishTariff, rules_of: RulesOf) -> None:
    """Every feed that is named is one of prices in the tariff's asset."""
    followed: list[tuple[str, MarketPrice]] = []
    if body.market is not None:
        followed.append(("body.market.feed", body.market))
    if body.feed_in is not None and body.feed_in.market is not None:
        followed.append(("body.feed_in.market.feed", body.feed_in.market))
    for field, market in followed:
        rules = rules_of(market.feed)
        if rules is None or rules.kind != "price":
            raise Refused("unknown-feed", f"{market.feed} is no feed of prices", field=field)
        if rules.asset != body.asset:
            raise Refused("feed-asset", f"{market.feed} is in {rules.asset}", field=field)


def _check_order(order: Order, body: PublishTariff, last: TariffPublished | None) -> None:
    """Versions follow each other, from now on, in one asset."""
    if body.effective_from < order.time:
        raise Refused(
            "effective-in-the-past",
            f"effective_from must not be before {format_instant(order.time)}",
            field="body.effective_from",
        )
    if last is None:
        return
    if body.effective_from <= last.effective_from:
        raise Refused(
            "overlapping-tariff",
            f"version {last.version} holds from {format_instant(last.effective_from)}",
            field="body.effective_from",
        )
    if body.asset != last.asset:
        raise Refused("wrong-asset", f"the tariff is in {last.asset}", field="body.asset")
