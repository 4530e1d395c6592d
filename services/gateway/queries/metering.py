"""Readings, meters, refusals and energy per day."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from services.gateway.database import Connection
from services.gateway.paging import Key, cut, next_id
from services.gateway.shapes import (
    Energy,
    EnergyDay,
    Meter,
    Page,
    Reading,
    Refusal,
    Register,
)
from services.gateway.units import is_zone, kwh

RATING_S: Final = 900
"""Default rating interval, in seconds. Source: domain rules, section 3."""

_REGISTERS: Final = ("generated", "consumed", "imported", "exported")

_READINGS_OF_METER: Final = """
SELECT * FROM reading
WHERE meter = $1
  AND ($2::timestamptz IS NULL OR until_at > $2)
  AND ($3::timestamptz IS NULL OR first_interval_at < $3)
  AND ($4::timestamptz IS NULL OR (first_interval_at, sequence) < ($4, $5::bigint))
ORDER BY first_interval_at DESC, sequence DESC
LIMIT $6
"""

_READINGS: Final = """
SELECT * FROM reading
WHERE ($1::timestamptz IS NULL OR until_at > $1)
  AND ($2::timestamptz IS NULL OR first_interval_at < $2)
  AND ($3::text IS NULL OR (stream, sequence) < ($3, $4::bigint))
ORDER BY stream DESC, sequence DESC
LIMIT $5
"""


async def readings(
    connection: Connection,
    *,
    meter: str | None,
    between: tuple[datetime | None, datetime | None],
    limit: int,
    after: Key | None,
) -> Page[Reading]:
    """Give readings, newest first: of one meter by time, of all by position."""
    at, stream, sequence = after or (None, None, None)
    if meter is not None:
        arguments = (meter, *between, at, sequence, limit + 1)
        rows = await connection.fetch(_READINGS_OF_METER, *arguments)
    else:
        rows = await connection.fetch(_READINGS, *between, stream, sequence, limit + 1)
    keyed = [((row["first_interval_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_reading(row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


def _reading(row: Mapping[str, Any]) -> Reading:
    return Reading(
        registers=[_register(row, name) for name in _REGISTERS if row[f"{name}_wh"] is not None],
        **{name: row[name] for name in Reading.model_fields if name != "registers"},
    )


def _register(row: Mapping[str, Any], name: Any) -> Register:
    total = row[f"{name}_wh"]
    return Register(
        name=name,
        total_wh=total,
        total_kwh=kwh(total),
        differences_wh=row[f"{name}_each_wh"] or [total],
        after_wh=row[f"{name}_after_wh"],
    )


async def meters(connection: Connection, *, limit: int, after: Key | None) -> Page[Meter]:
    """Give meters by id, each with the end of its newest interval."""
    rows = await connection.fetch(
        """
        SELECT meter.*, newest.until_at AS last_until_at FROM meter
        LEFT JOIN LATERAL (
            SELECT until_at FROM reading WHERE reading.meter = meter.meter
            ORDER BY first_interval_at DESC, sequence DESC LIMIT 1
        ) newest ON true
        WHERE $1::text IS NULL OR meter.meter > $1
        ORDER BY meter.meter LIMIT $2
        """,
        after and after[1],
        limit + 1,
    )
    items = [Meter(nameplate_kw=kwh(row["nameplate_w"]), **dict(row)) for row in rows[:limit]]
    return Page(items=items, next_cursor=next_id([row["meter"] for row in rows], limit))


async def refusals(
    connection: Connection, *, kind: Literal["fact", "message"], limit: int, after: Key | None
) -> Page[Refusal]:
    """Give refusals of one kind, newest first."""
    _, stream, sequence = after or (None, None, None)
    table = "reading_refused" if kind == "fact" else "refusal"
    rows = await connection.fetch(
        f"SELECT * FROM {table} WHERE $1::text IS NULL OR (stream, sequence) < ($1, $2::bigint) "  # noqa: S608 - one of two names
        "ORDER BY stream DESC, sequence DESC LIMIT $3",
        stream,
        sequence,
        limit + 1,
    )
    keyed = [((_NO_TIME, row["stream"], row["sequence"]), row) for row in rows]
    items = [_refusal(kind, row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


_NO_TIME: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _refusal(kind: Literal["fact", "message"], row: Mapping[str, Any]) -> Refusal:
    return Refusal(
        kind=kind,
        reason=row["reason"],
        detail=row["detail"],
        meter=row["meter"],
        seq=row.get("seq"),
        sha256=row["sha256"],
        first_256_bytes=row.get("first_256_bytes"),
        count=row.get("count", 1),
        refused_at=row.get("refused_at"),
        stream=row["stream"],
        sequence=row["sequence"],
    )


_NEWEST: Final = """
SELECT max(newest.until_at) AS until_at, coalesce(max(newest.interval_s), 0) AS interval_s
FROM meter JOIN LATERAL (
    SELECT until_at, interval_s FROM reading WHERE reading.meter = meter.meter
    ORDER BY first_interval_at DESC, sequence DESC LIMIT 1
) newest ON true
WHERE meter.system = $1 AND meter.role IN ('generation', 'consumption')
"""

_DAYS: Final = """
WITH part AS (
    SELECT meter.role,
           date_bin(make_interval(secs => $4::integer),
                    reading.first_interval_at
                      + make_interval(secs => (number - 1) * reading.interval_s),
                    'epoch'::timestamptz) AS at,
           coalesce(generated_each_wh[number], generated_wh) AS generated,
           coalesce(consumed_each_wh[number], consumed_wh) AS consumed
    FROM meter JOIN reading USING (meter), generate_series(1, reading.interval_count) AS number
    WHERE meter.system = $1 AND meter.role IN ('generation', 'consumption')
      AND reading.first_interval_at >= $2::timestamptz - interval '4 days'
), binned AS (
    SELECT at,
           sum(generated) FILTER (WHERE role = 'generation') AS generated,
           sum(consumed) FILTER (WHERE role = 'consumption') AS consumed
    FROM part WHERE at >= $2 GROUP BY at
)
SELECT (at AT TIME ZONE $3)::date AS day,
       sum(generated)::bigint AS generated_wh,
       sum(consumed)::bigint AS consumed_wh,
       sum(least(generated, consumed)) FILTER (
           WHERE generated IS NOT NULL AND consumed IS NOT NULL
       )::bigint AS used_wh
FROM binned GROUP BY day ORDER BY day
"""


async def energy(connection: Connection, *, system: str | None, days: int) -> Energy:
    """Give energy per local day as the meters reported it, up to the newest reading of the system.

    Corrections, and what is not rated, stand in bills and tokens.

    What is used at the site in an interval is the smaller of generation and consumption: own use
    and what co-holders use of each other sum to exactly that (domain rules, section 3).
    """
    if system is None:
        system = await connection.fetchval("SELECT min(system) FROM meter")
    told = await connection.fetchval(
        "SELECT time_zone FROM system WHERE system = $1 ORDER BY sequence DESC LIMIT 1", system
    )
    zone = told if is_zone(told) else "UTC"
    found = await connection.fetchrow(_NEWEST, system)
    rating_s = max(RATING_S, found["interval_s"])
    rows = []
    if found["until_at"] is not None:
        begin = await connection.fetchval(
            "SELECT date_trunc('day', $1::timestamptz, $2)",
            found["until_at"] - timedelta(days=days, seconds=-1),
            zone,
        )
        rows = await connection.fetch(_DAYS, system, begin, zone, rating_s)
    return Energy(
        system=system,
        time_zone=zone,
        state="known" if zone == told else "pending",
        rating_s=rating_s,
        days=[_day(row) for row in rows[-days:]],
    )


def _day(row: Mapping[str, Any]) -> EnergyDay:
    known = {name: row[f"{name}_wh"] for name in ("generated", "consumed", "used")}
    return EnergyDay(
        day=row["day"],
        **{f"{name}_wh": value for name, value in known.items()},
        **{f"{name}_kwh": None if value is None else kwh(value) for name, value in known.items()},
    )
