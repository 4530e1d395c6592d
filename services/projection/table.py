"""What a table of the views is, and how rows reach it. Pure: no database."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

Values = tuple[Any, ...]
"""One row, in the order of its table's columns."""


class Merge(Enum):
    """What happens to rows whose key is there already."""

    APPEND = "append"
    """Never happens: the key is the place of the fact, and the position fences it."""
    LATEST = "latest"
    """The later row replaces the earlier one."""
    SUM = "sum"
    """The last column is added to what stands there."""


@dataclass(frozen=True, eq=False)
class Table:
    """One table."""

    name: str
    """Its name."""
    columns: tuple[str, ...]
    """Its columns; those of the key come first."""
    merge: Merge = Merge.APPEND
    """How rows reach it."""
    key_count: int = 0
    """Number of key columns; only for `LATEST` and `SUM`."""

    @property
    def staging(self) -> str:
        """Name of the temporary table into which its rows are copied before they are merged."""
        return f"staging_{self.name}"

    def merge_sql(self) -> str:
        """The statement that merges the staged rows."""
        columns, key = ", ".join(self.columns), ", ".join(self.columns[: self.key_count])
        rest = self.columns[self.key_count :]
        if self.merge is Merge.SUM:
            changes = ", ".join(f"{name} = {self.name}.{name} + excluded.{name}" for name in rest)
        else:
            changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
        return (
            f"INSERT INTO {self.name} ({columns}) SELECT {columns} FROM {self.staging} "  # noqa: S608 - names are ours
            f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
        )


def table(name: str, columns: str, merge: Merge = Merge.APPEND, key_count: int = 0) -> Table:
    """Make a table; its columns stand in one text, those of the key first."""
    return Table(name, tuple(columns.split()), merge, key_count)
