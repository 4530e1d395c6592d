"""Lists with filters, in an order of the caller's choice.

A page begins behind the value and the id of the last row of the page before, so that rows that are
added meanwhile neither hide nor double one. A row whose value changes meanwhile moves in the order,
and with it may come before the place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.gateway.database import Connection
from services.gateway.paging import Key, write_id

Row = Mapping[str, Any]
"""A row of the views."""


class Conditions:
    """The conditions of one question, and its arguments."""

    def __init__(self, *arguments: object) -> None:
        """Begin with the arguments of what is asked: `$1` and so on."""
        self.arguments = [*arguments]
        self._texts: list[str] = []

    def add(self, text: str, *values: object) -> None:
        """Add a condition, unless a value is `None`: nobody asked for it then.

        Args:
            text: SQL with a `?` for each value.
            values: The values.
        """
        if any(value is None for value in values):
            return
        for value in values:
            self.arguments.append(value)
            text = text.replace("?", f"${len(self.arguments)}", 1)
        self._texts.append(text)

    def __str__(self) -> str:
        """Write them as SQL."""
        return " AND ".join(self._texts) or "true"


@dataclass(frozen=True, slots=True)
class Sorting:
    """The order of a list: by a number, then by id, both in one direction."""

    value: str
    """Column of the number, 0 or more."""
    name: str
    """Column of the id, which no two rows share."""
    is_descending: bool
    """True: from the highest down."""

    @classmethod
    def of(cls, sort: str, columns: Mapping[str, str], name: str) -> "Sorting":
        """Read an order as the caller writes it.

        Args:
            sort: A word of `columns`, with `-` before it for from the highest down.
            columns: The column of each word.
            name: Column of the id.
        """
        return cls(columns[sort.removeprefix("-")], name, sort.startswith("-"))


async def page(
    connection: Connection,
    sql: str,
    conditions: Conditions,
    sorting: Sorting,
    *,
    limit: int,
    after: Key | None,
) -> tuple[Sequence[Row], str | None]:
    """Give the rows of one page, and the cursor of the next one.

    Args:
        connection: Within one transaction.
        sql: What is asked, up to where conditions begin.
        conditions: The conditions.
        sorting: The order.
        limit: Most rows.
        after: Place of the last row of the page before.
    """
    beyond, direction = ("<", "DESC") if sorting.is_descending else (">", "ASC")
    columns = f"{sorting.value}, {sorting.name}"
    conditions.add(f"({columns}) {beyond} (?, ?)", after and after[2], after and after[1])
    arguments = conditions.arguments
    rows = await connection.fetch(
        f"{sql} WHERE {conditions} ORDER BY {sorting.value} {direction}, "
        f"{sorting.name} {direction} LIMIT ${len(arguments) + 1}",
        *arguments,
        limit + 1,
    )
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], write_id(last[sorting.name], last[sorting.value])
