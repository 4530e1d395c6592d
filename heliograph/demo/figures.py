"""The figures of a play, each from several sources that do not share code."""

from collections.abc import Mapping
from typing import Any

import httpx

from heliograph.demo import cast
from heliograph.demo.check import (
    Energy,
    Figure,
    Ledgers,
    billed_by_hand,
    energy_of,
    invoices_of,
    title_of,
    total,
)
from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH


def kwh(energy_wh: int) -> str:
    """Watt-hours as kilowatt-hours."""
    return f"{energy_wh // WH_PER_KWH:,}.{energy_wh % WH_PER_KWH:03} kWh"


def money(amount_stroops: int) -> str:
    """Stroops as units of the asset."""
    whole, rest = divmod(amount_stroops, STROOPS_PER_UNIT)
    return f"{whole:,}.{rest:07} {cast.ASSET}"


class Views:
    """What the gateway answers: figures that went through Postgres."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http, self._url = http, url.rstrip("/")

    async def get(self, path: str) -> Any:
        """One answer.

        Raises:
            httpx.HTTPStatusError: The gateway refused.
        """
        answer = await self._http.get(f"{self._url}/api/{path}")
        answer.raise_for_status()
        return answer.json()

    async def rows(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            asked = {**query, "limit": 200} | ({"cursor": cursor} if cursor else {})
            answer = await self._http.get(f"{self._url}/api/{path}", params=asked)
            answer.raise_for_status()
            page = answer.json()
            rows += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return rows

    async def positions(self) -> dict[str, int]:
        """How far each stream is projected."""
        rows = await self.rows("positions")
        return {row["stream"]: row["sequence"] for row in rows}


async def figures_of(
    ledgers: Ledgers, views: Views, source: Mapping[str, Any], scene: cast.Scene, days: int
) -> list[Figure]:
    """Find every figure in every way there is."""
    energy = energy_of(ledgers, cast.GENERATION_METER, cast.CONSUMPTION_METER, scene.time_zone)
    return [
        *_energy_figures(energy, source, await views.rows("readings")),
        *await _money_figures(ledgers, energy, views),
        *await _title_figures(ledgers, views),
        *await _anchor_figures(ledgers, views, days),
        *await _stream_figures(ledgers, views),
    ]


def _energy_figures(
    energy: Energy, source: Mapping[str, Any], readings: list[dict[str, Any]]
) -> list[Figure]:
    def viewed(meter: str, register: str) -> str:
        registers = [each for row in readings if row["meter"] == meter for each in row["registers"]]
        return kwh(sum(each["total_wh"] for each in registers if each["name"] == register))

    generation, load = cast.GENERATION_METER, cast.CONSUMPTION_METER
    return [
        Figure(
            "generated",
            {
                "streams": kwh(energy.generated_wh),
                "views": viewed(generation, "generated"),
                "source": kwh(source["generated_wh"]),
            },
        ),
        Figure(
            "night draw",
            {
                "streams": kwh(energy.draw_wh),
                "views": viewed(generation, "consumed"),
                "source": kwh(source["drawn_wh"]),
            },
        ),
        Figure(
            "consumed by the household",
            {"streams": kwh(energy.consumed_wh), "views": viewed(load, "consumed")},
        ),
    ]


async def _money_figures(ledgers: Ledgers, energy: Energy, views: Views) -> list[Figure]:
    issued = ledgers.named("InvoiceIssued")
    viewed = await views.rows("invoices")
    lines = [line for invoice in issued for line in invoice["lines"]]
    price = cast.ENERGY_PRICE_STROOPS_PER_KWH
    by_hand = billed_by_hand(energy, price)
    paid = total(ledgers.named("PaymentSettled"), "amount_stroops")
    return [
        Figure(
            "used of the own part",
            {"streams": kwh(energy.own_use_wh), "invoices": kwh(total(lines, "energy_wh"))},
        ),
        Figure("invoices", {"streams": str(len(issued)), "views": str(len(viewed))}),
        Figure(
            "billed",
            {
                "streams": money(total(issued, "total_stroops")),
                "views": money(total(viewed, "total_stroops")),
                "by hand": money(sum(by_hand)),
            },
        ),
        Figure(
            "billed, each month",
            {
                "streams": " ".join(
                    money(each["total_stroops"]) for each in issued if each["rated_intervals"]
                ),
                "by hand": " ".join(money(amount) for amount in by_hand),
            },
        ),
        Figure(
            "paid",
            {
                "streams": money(paid),
                "views": money(sum(row["paid_stroops"] for row in viewed)),
                "invoices": money(total(invoices_of(ledgers), "total_stroops")),
            },
        ),
    ]


async def _title_figures(ledgers: Ledgers, views: Views) -> list[Figure]:
    moved = sum(
        move["shares"] for fact in ledgers.named("OwnershipTransferred") for move in fact["moves"]
    )
    principal = sum(
        move["amount_stroops"]
        for fact in ledgers.named("PaymentSettled")
        for move in fact["principal"]
    )
    (system,) = await views.rows("ownership")
    viewed = {row["member"]: row["shares"] for row in system["title"]}
    figures = [Figure("shares moved", {"title": f"{moved:,}", "principal": f"{principal:,}"})]
    for member, shares in title_of(ledgers).items():
        ways = {"streams": f"{shares:,}", "views": f"{viewed.get(member, 0):,}"}
        figures.append(Figure(f"shares of {member}", ways))
    return figures


async def _anchor_figures(ledgers: Ledgers, views: Views, days: int) -> list[Figure]:
    anchored = ledgers.named("HeadAnchored")
    # The first time, when the stage is being set, may have a round too; it is no day of the play.
    times = [fact["time"] for fact in ledgers.of("HeadAnchored")]
    rounds = set(times) - {ledgers.of("TimeAdvanced")[0]["time"]}
    viewed = [row for row in await views.rows("anchors") if row.get("ledger")]
    failed = len(ledgers.named("AnchorFailed"))
    return [
        Figure("heads anchored", {"streams": str(len(anchored)), "views": str(len(viewed))}),
        Figure("days with an anchored head", {"days": str(days), "streams": str(len(rounds))}),
        Figure("anchors that failed", {"streams": str(failed)}),
    ]


async def _stream_figures(ledgers: Ledgers, views: Views) -> list[Figure]:
    viewed = await views.positions()
    return [
        Figure(
            f"facts in {stream}",
            {"streams": f"{len(facts):,}", "views": f"{viewed.get(stream, 0):,}"},
        )
        for stream, facts in ledgers.facts.items()
    ]
