"""Rows of members, prices and time. Pure."""

from collections.abc import Iterator

from libs.events import MemberRegistered, Recorded, TariffPublished, TimeAdvanced, TimeReached
from services.projection.tables import CLOCK, MEMBER, TARIFF, Table, Values


def member_registered(recorded: Recorded[MemberRegistered]) -> Iterator[tuple[Table, Values]]:
    """One row per member; a later registration replaces an earlier one."""
    fact = recorded.fact
    yield (
        MEMBER,
        (
            fact.member,
            recorded.stream,
            recorded.sequence,
            fact.address,
            fact.roles,
            recorded.envelope.time,
        ),
    )


def tariff_published(recorded: Recorded[TariffPublished]) -> Iterator[tuple[Table, Values]]:
    """One row per version of a tariff."""
    fact = recorded.fact
    yield (
        TARIFF,
        (
            recorded.stream,
            recorded.sequence,
            recorded.position.hash,
            fact.tariff,
            fact.version,
            fact.asset,
            fact.price_stroops_per_kwh,
            fact.effective_from,
            recorded.envelope.time,
        ),
    )


def time_advanced(recorded: Recorded[TimeAdvanced]) -> Iterator[tuple[Table, Values]]:
    """The clock of the rules."""
    fact = recorded.fact
    yield CLOCK, (recorded.stream, recorded.sequence, fact.to, fact.cadence_s)


def time_reached(recorded: Recorded[TimeReached]) -> Iterator[tuple[Table, Values]]:
    """How far the writer of a stream has worked off the clock."""
    yield CLOCK, (recorded.stream, recorded.sequence, recorded.fact.to, None)
