"""Factories: what they are, what they have, and how they came to it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH
from libs.events.trading import TOKEN
from services.gateway.database import Connection
from services.gateway.filters import FactoryFilter
from services.gateway.paging import Key, cut
from services.gateway.queries.listing import Conditions, Sorting, page
from services.gateway.shapes.trading import (
    Balance,
    Factory,
    FactoryValue,
    HistoryEntry,
    ListAnswer,
)

_MONEY: Final = f"U:{TOKEN}"

_COLUMNS: Final = {
    "id": "no_value",
    "energyBalance": "energy_balance_wh",
    "currencyBalance": "currency_balance_stroops",
    "dailyConsumption": "daily_consumption_wh",
    "availableEnergy": "available_energy_wh",
}

_FACTORIES: Final = f"""
SELECT * FROM (
    SELECT registered.member, registered.business_name, registered.energy_type,
        registered.daily_consumption_wh, registered.available_energy_wh, registered.opening_book,
        registered.registered_at, 0::bigint AS no_value,
        COALESCE(key.address, registered.address) AS address,
        COALESCE(suspension.is_suspended, false) AS is_suspended,
        COALESCE(kwh.balance, 0)::bigint AS free_energy_wh,
        COALESCE(held_kwh.balance, 0)::bigint AS held_energy_wh,
        COALESCE(short.balance, 0)::bigint AS shortfall_wh,
        COALESCE(wallet.balance, 0)::bigint AS free_stroops,
        COALESCE(held.balance, 0)::bigint AS held_stroops,
        (COALESCE(kwh.balance, 0) + COALESCE(held_kwh.balance, 0))::bigint AS energy_balance_wh,
        (COALESCE(wallet.balance, 0) + COALESCE(held.balance, 0))::bigint
            AS currency_balance_stroops
    FROM member registered
    LEFT JOIN member_key key USING (member)
    LEFT JOIN member_suspension suspension USING (member)
    LEFT JOIN account_balance kwh
        ON (kwh.stream, kwh.asset, kwh.account) = ($1, 'W', 'kwh:' || member)
    LEFT JOIN account_balance held_kwh
        ON (held_kwh.stream, held_kwh.asset, held_kwh.account) = ($1, 'W', 'hold:' || member)
    LEFT JOIN account_balance short
        ON (short.stream, short.asset, short.account) = ($1, 'W', 'shortfall:' || member)
    LEFT JOIN account_balance wallet
        ON (wallet.stream, wallet.asset, wallet.account) = ($1, '{_MONEY}', 'wallet:' || member)
    LEFT JOIN account_balance held
        ON (held.stream, held.asset, held.account) = ($1, '{_MONEY}', 'hold:' || member)
    WHERE registered.business_name IS NOT NULL AND registered.opening_book = $2
) factory
"""  # noqa: S608 - the names are ours

_REGISTERED: Final = """
SELECT member, business_name, energy_type, daily_consumption_wh, available_energy_wh, opening_book,
    registered_at, address, false AS is_suspended,
    opening_energy_wh AS energy_balance_wh, opening_energy_wh AS free_energy_wh,
    0 AS held_energy_wh, 0 AS shortfall_wh,
    opening_stroops AS currency_balance_stroops, opening_stroops AS free_stroops, 0 AS held_stroops
FROM member registered
WHERE member = $1 AND business_name IS NOT NULL
AND (opening_energy_wh = 0 OR EXISTS (
    SELECT FROM energy_minted minted WHERE minted.member = registered.member
    AND minted.reason = 'opening' AND minted.stream = 'LEDGER_' || registered.opening_book
)) AND (opening_stroops = 0 OR EXISTS (
    SELECT FROM deposit WHERE deposit.member = registered.member
    AND deposit.stream = 'LEDGER_' || registered.opening_book
    AND (deposit.asset, deposit.amount_stroops)
        = (registered.opening_asset, registered.opening_stroops)
))
"""

_OWN: Final = f"""
    stream = $1 AND account IN ('kwh:' || $2, 'hold:' || $2, 'wallet:' || $2)
    AND asset IN ('W', '{_MONEY}')
"""
"""All that a member can use or has promised."""

_HISTORY: Final = f"""
SELECT * FROM (
    SELECT sequence, stream, min(fact) AS fact, min(fact_id) AS fact_id, min(at) AS at,
        COALESCE(sum(change) FILTER (WHERE asset = 'W'), 0)::bigint AS energy_change_wh,
        COALESCE(sum(change) FILTER (WHERE asset <> 'W'), 0)::bigint AS currency_change_stroops,
        COALESCE(sum(sum(change) FILTER (WHERE asset = 'W')) OVER past, 0)::bigint
            AS energy_balance_wh,
        COALESCE(sum(sum(change) FILTER (WHERE asset <> 'W')) OVER past, 0)::bigint
            AS currency_balance_stroops
    FROM entry
    WHERE {_OWN}
    GROUP BY stream, sequence
    WINDOW past AS (ORDER BY sequence)
) history
WHERE $3::bigint IS NULL OR sequence < $3
ORDER BY sequence DESC
LIMIT $4
"""  # noqa: S608 - the names are ours

_BALANCE_AT: Final = f"""
SELECT
    COALESCE(sum(change) FILTER (WHERE account = 'kwh:' || $2), 0)::bigint AS free_energy_wh,
    COALESCE(sum(change) FILTER (WHERE asset = 'W' AND account = 'hold:' || $2), 0)::bigint
        AS held_energy_wh,
    COALESCE(sum(change) FILTER (WHERE asset <> 'W'), 0)::bigint AS currency_balance_stroops
FROM entry
WHERE {_OWN} AND at <= $3
"""  # noqa: S608 - the names are ours

_ENERGY_AFTER: Final = """
SELECT (
    SELECT COALESCE(sum(balance), 0) FROM account_balance
    WHERE stream = $1 AND account IN ('kwh:' || $2, 'hold:' || $2) AND asset = 'W'
) - (
    SELECT COALESCE(sum(change), 0) FROM entry
    WHERE stream = $1 AND account IN ('kwh:' || $2, 'hold:' || $2) AND asset = 'W'
    AND sequence > $3
)
"""


def _ledger(book: str) -> str:
    return f"LEDGER_{book}"


async def factories(
    connection: Connection, book: str, wanted: FactoryFilter, *, after: Key | None
) -> ListAnswer[Factory]:
    """Give the factories of a book that pass a filter."""
    found = Conditions(_ledger(book), book)
    found.add("energy_type = ?", wanted.energy_type)
    found.add("strpos(lower(business_name), lower(?)) > 0", wanted.name)
    found.add("energy_balance_wh >= ?", wanted.min_energy_wh)
    found.add("energy_balance_wh <= ?", wanted.max_energy_wh)
    found.add("currency_balance_stroops >= ?", wanted.min_stroops)
    found.add("currency_balance_stroops <= ?", wanted.max_stroops)
    found.add("is_suspended = ?", wanted.is_suspended)
    sorting = Sorting.of(wanted.sort, _COLUMNS, "member")
    rows, cursor = await page(
        connection, _FACTORIES, found, sorting, limit=wanted.limit, after=after
    )
    return ListAnswer(count=len(rows), data=[_factory(row) for row in rows], next_cursor=cursor)


async def factory(connection: Connection, book: str, member: str) -> Factory | None:
    """Give one factory, or nothing."""
    row = await connection.fetchrow(f"{_FACTORIES} WHERE member = $3", _ledger(book), book, member)
    return None if row is None else _factory(row)


async def registered(connection: Connection, member: str) -> Factory | None:
    """Give a factory as it began; nothing until its opening balances stand in its book.

    What happened since does not show, so that a repeated registration is answered as the first.
    """
    row = await connection.fetchrow(_REGISTERED, member)
    return None if row is None else _factory(row)


def _factory(row: Mapping[str, Any]) -> Factory:
    own = {name: row[name] for name in Factory.model_fields if name in row.keys()}  # noqa: SIM118 - a record is no mapping
    return Factory(
        id=row["member"],
        name=row["business_name"],
        energyType=row["energy_type"],
        energyBalance=row["energy_balance_wh"] / WH_PER_KWH,
        currencyBalance=row["currency_balance_stroops"] / STROOPS_PER_UNIT,
        dailyConsumption=row["daily_consumption_wh"] / WH_PER_KWH,
        availableEnergy=row["available_energy_wh"] / WH_PER_KWH,
        book=row["opening_book"],
        **own,
    )


async def balance(
    connection: Connection, book: str, member: str, at: datetime | None
) -> Balance | None:
    """Give what a factory has, now or once everything up to a moment had happened."""
    row = await connection.fetchrow(f"{_FACTORIES} WHERE member = $3", _ledger(book), book, member)
    if row is None:
        return None
    if at is not None:
        row = await connection.fetchrow(_BALANCE_AT, _ledger(book), member, at)
    energy_wh = row["free_energy_wh"] + row["held_energy_wh"]
    return Balance(
        factoryId=member,
        balance=energy_wh / WH_PER_KWH,
        currencyBalance=row["currency_balance_stroops"] / STROOPS_PER_UNIT,
        balance_wh=energy_wh,
        free_wh=row["free_energy_wh"],
        held_wh=row["held_energy_wh"],
        currency_balance_stroops=row["currency_balance_stroops"],
        at=at,
    )


async def energy_after(connection: Connection, stream: str, member: str, sequence: int) -> int:
    """Give a member's energy in Wh, free and held, as a fact of his book left it."""
    return int(await connection.fetchval(_ENERGY_AFTER, stream, member, sequence))


async def history(
    connection: Connection, book: str, member: str, *, limit: int, after: Key | None
) -> ListAnswer[HistoryEntry]:
    """Give every fact that changed what a factory has, newest first."""
    rows = await connection.fetch(_HISTORY, _ledger(book), member, after and after[2], limit + 1)
    keyed = [((row["at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_entry(member, row) for row in rows[:limit]]
    return ListAnswer(count=len(items), data=items, next_cursor=cut(keyed, limit))


def _entry(member: str, row: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        txId=f"{row['stream']}:{row['sequence']}",
        value=FactoryValue(
            id=member,
            energyBalance=row["energy_balance_wh"] / WH_PER_KWH,
            currencyBalance=row["currency_balance_stroops"] / STROOPS_PER_UNIT,
            energy_balance_wh=row["energy_balance_wh"],
            currency_balance_stroops=row["currency_balance_stroops"],
        ),
        timestamp=row["at"],
        fact=row["fact"],
        fact_id=row["fact_id"],
        energy_change_wh=row["energy_change_wh"],
        currency_change_stroops=row["currency_change_stroops"],
    )
