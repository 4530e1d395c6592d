"""Rows of transfers: each step, and the legs of each step. Pure."""

from collections.abc import Iterator

from libs.events import (
    Recorded,
    TransferPosted,
    TransferReserved,
    TransferReversed,
    TransferVoided,
)
from libs.events.trading import EnergyLeg
from services.projection.table import Table, Values
from services.projection.tables import TRANSFER_LEG, TRANSFER_STEP
from services.projection.views.energy import metadata_text


def reserved(recorded: Recorded[TransferReserved]) -> Iterator[tuple[Table, Values]]:
    """One row for the first phase, and one per leg."""
    fact = recorded.fact
    yield _step(
        recorded,
        "reserved",
        (fact.to_book, None, fact.expires_at, None, None, None, metadata_text(fact.metadata)),
    )
    yield from _legs(recorded)


def posted(recorded: Recorded[TransferPosted]) -> Iterator[tuple[Table, Values]]:
    """One row for what took effect, and one per leg."""
    fact = recorded.fact
    returned = (fact.returned_stroops, fact.returned_wh)
    books = (fact.to_book, fact.from_book)
    yield _step(recorded, "posted", (*books, None, *returned, None, metadata_text(fact.metadata)))
    yield from _legs(recorded)


def voided(recorded: Recorded[TransferVoided]) -> Iterator[tuple[Table, Values]]:
    """One row for what came to nothing, and one per leg."""
    fact = recorded.fact
    books = (fact.to_book, fact.from_book)
    yield _step(recorded, "voided", (*books, None, None, None, fact.reason, None))
    yield from _legs(recorded)


def reversed_(recorded: Recorded[TransferReversed]) -> Iterator[tuple[Table, Values]]:
    """One row for what was undone, and one per leg."""
    yield _step(recorded, "reversed", (None, None, None, None, None, recorded.fact.reason, None))
    yield from _legs(recorded)


def _step(
    recorded: Recorded[TransferReserved]
    | Recorded[TransferPosted]
    | Recorded[TransferVoided]
    | Recorded[TransferReversed],
    step: str,
    rest: Values,
) -> tuple[Table, Values]:
    fact, place = recorded.fact, (recorded.stream, recorded.sequence)
    return (
        TRANSFER_STEP,
        (*place, fact.transfer, step, fact.from_member, *rest, recorded.envelope.time),
    )


def _legs(
    recorded: Recorded[TransferReserved]
    | Recorded[TransferPosted]
    | Recorded[TransferVoided]
    | Recorded[TransferReversed],
) -> Iterator[tuple[Table, Values]]:
    for part, leg in enumerate(recorded.fact.legs, 1):
        what = (
            (None, None, leg.energy_wh)
            if isinstance(leg, EnergyLeg)
            else (leg.asset, leg.amount_stroops, None)
        )
        yield TRANSFER_LEG, (recorded.stream, recorded.sequence, part, leg.to_member, *what)
