"""Members, the clock, anchors and positions."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from services.gateway.database import Connection
from services.gateway.paging import Key, cut, next_id
from services.gateway.shapes import (
    Anchor,
    Clock,
    FactoryProfile,
    Member,
    Page,
    StreamClock,
    StreamPosition,
)
from services.gateway.units import instant

CLOCK_STREAM: Final = "PRICES"
"""Stream of the one clock."""

REFUSALS: Final = "REFUSALS"
"""The one stream whose positions have gaps."""

DEVNET_NOTICE: Final = "devnet double, not Stellar"
"""What is said of anchors on our own double of the network."""

_MEMBERS: Final = """
SELECT registered.member, registered.registered_at, registered.stream, registered.sequence,
    registered.business_name, registered.energy_type, registered.daily_consumption_wh,
    registered.available_energy_wh, registered.opening_book, registered.opening_energy_wh,
    registered.opening_asset, registered.opening_stroops,
    COALESCE(key.address, registered.address) AS address,
    COALESCE(granted.roles, registered.roles) AS roles,
    COALESCE(suspension.is_suspended, false) AS is_suspended,
    CASE WHEN suspension.is_suspended THEN suspension.reason END AS suspension_reason
FROM member registered
LEFT JOIN member_key key USING (member)
LEFT JOIN member_roles granted USING (member)
LEFT JOIN member_suspension suspension USING (member)
WHERE $1::text IS NULL OR registered.member > $1
ORDER BY registered.member
LIMIT $2
"""

_ANCHORS: Final = """
SELECT prepared.*, confirmed.ledger, confirmed.closed_at, failed.reason
FROM anchor_prepared prepared
LEFT JOIN LATERAL (
    SELECT ledger, closed_at FROM anchor_confirmed
    WHERE transaction_hash = prepared.transaction_hash ORDER BY sequence LIMIT 1
) confirmed ON true
LEFT JOIN LATERAL (
    SELECT reason FROM anchor_failed
    WHERE transaction_hash = prepared.transaction_hash ORDER BY sequence LIMIT 1
) failed ON true
WHERE $1::text IS NULL OR (prepared.stream, prepared.sequence) < ($1, $2::bigint)
ORDER BY prepared.stream DESC, prepared.sequence DESC
LIMIT $3
"""


async def members(connection: Connection, *, limit: int, after: Key | None) -> Page[Member]:
    """Give members by id."""
    rows = await connection.fetch(_MEMBERS, after and after[1], limit + 1)
    items = [_member(row) for row in rows[:limit]]
    return Page(items=items, next_cursor=next_id([row["member"] for row in rows], limit))


def _member(row: Mapping[str, Any]) -> Member:
    own = {name: row[name] for name in Member.model_fields if name in row.keys()}  # noqa: SIM118 - a record is no mapping
    if row["business_name"] is None:
        return Member(factory=None, **own)
    factory = {name: row[name] for name in FactoryProfile.model_fields}
    return Member(factory=FactoryProfile(**factory), **own)


async def now_of(connection: Connection) -> datetime | None:
    """Give the time of the clock of the rules."""
    now: datetime | None = await connection.fetchval(
        "SELECT now_at FROM clock WHERE stream = $1", CLOCK_STREAM
    )
    return now


async def clock(connection: Connection, *, is_played: bool) -> Clock:
    """Give the clock, and how far each writer has worked it off."""
    rows = await connection.fetch("SELECT * FROM clock ORDER BY stream")
    head = next((row for row in rows if row["stream"] == CLOCK_STREAM), None)
    now = head["now_at"] if head else None
    streams = [
        StreamClock(
            stream=row["stream"],
            reached_at=row["now_at"],
            behind_s=max(0, int((now - row["now_at"]).total_seconds())) if now else 0,
        )
        for row in rows
        if row["stream"] != CLOCK_STREAM
    ]
    return Clock(
        now_at=now,
        cadence_s=head["cadence_s"] if head else None,
        sequence=head["sequence"] if head else None,
        is_played=is_played,
        streams=streams,
    )


async def anchors(connection: Connection, *, limit: int, after: Key | None) -> Page[Anchor]:
    """Give rounds, newest first."""
    _, stream, sequence = after or (None, None, None)
    rows = await connection.fetch(_ANCHORS, stream, sequence, limit + 1)
    keyed = [((row["prepared_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_anchor(row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


def _anchor(row: Mapping[str, Any]) -> Anchor:
    is_devnet = "devnet" in row["network"].lower()
    outcome = "failed" if row["reason"] is not None else "prepared"
    own = {name: row[name] for name in Anchor.model_fields if name in row.keys()}  # noqa: SIM118 - a record is no mapping
    return Anchor(
        status="confirmed" if row["ledger"] is not None else outcome,
        is_devnet=is_devnet,
        notice=DEVNET_NOTICE if is_devnet else "Stellar",
        **own,
    )


async def positions(connection: Connection) -> Page[StreamPosition]:
    """Give how far every stream is projected, with the proof by counts."""
    totals: dict[str, dict[str, int]] = defaultdict(dict)
    for row in await connection.fetch("SELECT * FROM fact_total ORDER BY stream, fact"):
        totals[row["stream"]][row["fact"]] = row["total"]
    rows = await connection.fetch("SELECT * FROM projection_position ORDER BY stream")
    items = []
    for row in rows:
        facts, sequence = totals[row["stream"]], row["sequence"]
        counted = row["fact_count"] == sequence == sum(facts.values())
        items.append(
            StreamPosition(
                is_counted=counted or row["stream"] == REFUSALS, facts=facts, **dict(row)
            )
        )
    return Page(items=items)


async def summary(connection: Connection) -> dict[str, Any]:
    """Give what the live feed tells: positions and the clock, as JSON values."""
    rows = await connection.fetch("SELECT stream, sequence FROM projection_position ORDER BY 1")
    now = await now_of(connection)
    return {
        "now_at": instant(now) if now else None,
        "positions": {row["stream"]: row["sequence"] for row in rows},
    }
