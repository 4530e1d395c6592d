"""Settings of the ledger: `HELIOGRAPH_LEDGER_<NAME>`."""

from typing import Annotated

from pydantic import Field

from libs.events.ids import ID_PATTERN, Address
from libs.runtime.settings import ServiceSettings

EVERY = "*"
"""Stands for all books of the installation."""


class LedgerSettings(ServiceSettings):
    """What the ledger reads from the environment."""

    first_approver: Address = Field(
        description="Stellar address of the first approver; its key counts until an approver "
        "stands in the register, so let him register himself first."
    )
    partitions: int = Field(1, ge=1, le=256, description="Number of partitions of READINGS.")
    registers: bool = Field(
        default=True, description="Whether this process writes the register of members."
    )
    serves: tuple[Annotated[str, Field(pattern=rf"^\*$|{ID_PATTERN}")], ...] = Field(
        (EVERY,),
        description="The books that this process writes: names with commas, * for all of BOOKS, "
        "[] for none.",
    )
    standby: bool = Field(
        default=True,
        description="Whether this process asks who writes a stream, and stands by while somebody "
        "else does; without it, it writes at once.",
    )
    snapshots_url: str | None = Field(
        None,
        pattern=r"^[a-z0-9]+://[^\s@]*$",
        description="Where snapshots are kept: file:///folder, s3://bucket/path, az:// or gs://, "
        "with no key in it; without it, every start replays its streams.",
    )
    snapshots_every: int = Field(
        20_000,
        ge=1,
        le=100_000_000,
        description="Facts that are folded between two snapshots; these are at least 5 s apart.",
    )

    @property
    def served_books(self) -> tuple[str, ...]:
        """The books that this process writes."""
        return self.all_books if EVERY in self.serves else self.serves
