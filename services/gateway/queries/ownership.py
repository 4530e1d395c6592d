"""Who owns what: systems, holdings and title."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.gateway.database import Connection
from services.gateway.paging import Key, next_id
from services.gateway.shapes import Holder, HoldingTitle, Ownership, Page
from services.gateway.units import amount, percent

_SYSTEMS: Final = """
SELECT DISTINCT ON (system) * FROM system_state
WHERE $1::text IS NULL OR system > $1
ORDER BY system, sequence
LIMIT $2
"""

_HOLDINGS: Final = """
SELECT * FROM holding_state
WHERE system = ANY ($1) AND status <> 'RECLAIMED'
ORDER BY holding
"""

_OWNERS: Final = """
SELECT own_title.agreement, held.holder
FROM own_title JOIN holding_state held USING (stream, holding)
WHERE own_title.system = ANY ($1)
"""

_TITLE: Final = """
SELECT substr(asset, 3) AS system, account, sum(balance)::bigint AS shares
FROM account_balance
WHERE asset = ANY ($1)
GROUP BY asset, account HAVING sum(balance) > 0
ORDER BY asset, sum(balance) DESC, account
"""

_KINDS: Final = {
    "title": "investor",
    "reserved": "reserved",
    "own": "recipient",
    "approver": "approver",
}


async def ownership(connection: Connection, *, limit: int, after: Key | None) -> Page[Ownership]:
    """Give systems by id, each with its holdings and everybody who owns a part of it."""
    systems = await connection.fetch(_SYSTEMS, after and after[1], limit + 1)
    names = [row["system"] for row in systems]
    holdings: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in await connection.fetch(_HOLDINGS, names):
        holdings[row["system"]].append(row)
    owners = await connection.fetch(_OWNERS, names)
    recipients = {row["agreement"]: row["holder"] for row in owners}
    title: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in await connection.fetch(_TITLE, [f"T:{name}" for name in names]):
        title[row["system"]].append(row)
    return Page(
        items=[
            _ownership(row, holdings[row["system"]], title[row["system"]], recipients)
            for row in systems[:limit]
        ],
        next_cursor=next_id(names, limit),
    )


def _ownership(
    row: Mapping[str, Any],
    holdings: list[Mapping[str, Any]],
    title: list[Mapping[str, Any]],
    recipients: Mapping[str, str],
) -> Ownership:
    units = row["units"] if row["is_approved"] else 0
    return Ownership(
        system=row["system"],
        asset=row["asset"],
        price_stroops=row["price_stroops"],
        price=amount(row["price_stroops"]),
        nameplate_w=row["nameplate_w"],
        time_zone=row["time_zone"],
        state=row["status"],
        units=units,
        holdings=[_holding(holding) for holding in holdings],
        title=list(_holders(title, units, recipients)),
    )


def _holding(row: Mapping[str, Any]) -> HoldingTitle:
    return HoldingTitle(
        holding=row["holding"],
        recipient=row["holder"],
        units=row["units"],
        own_shares=row["own_shares"],
        own_percent=percent(row["own_shares"], row["units"]),
        principal_shares=row["units"] - row["own_shares"],
    )


def _holders(
    title: list[Mapping[str, Any]], units: int, recipients: Mapping[str, str]
) -> Iterator[Holder]:
    """Read the names of the accounts: see the account map in docs/decisions/0001."""
    for row in title:
        kind, _, rest = row["account"].partition(":")
        if kind not in _KINDS:
            continue
        last = rest.rpartition(":")[2]
        yield Holder.model_validate(
            {
                "member": recipients.get(last, last) if kind == "own" else last,
                "kind": _KINDS[kind],
                "shares": row["shares"],
                "share_percent": percent(row["shares"], units),
            }
        )
