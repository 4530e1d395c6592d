"""Rows of members and time. Pure."""

from collections.abc import Iterator

from libs.events import (
    KeyRotated,
    MemberRegistered,
    MemberSuspended,
    Recorded,
    RoleGranted,
    TimeAdvanced,
    TimeReached,
)
from services.projection.table import Table, Values
from services.projection.tables import (
    CLOCK,
    MEMBER,
    MEMBER_KEY,
    MEMBER_ROLES,
    MEMBER_SUSPENSION,
)


def member_registered(recorded: Recorded[MemberRegistered]) -> Iterator[tuple[Table, Values]]:
    """One row per member, with the profile and the opening balances of a factory."""
    fact = recorded.fact
    profile, opening = fact.factory, fact.opening
    of_factory: Values = (None,) * 4
    if profile is not None:
        of_factory = (
            profile.name,
            profile.energy_type,
            profile.daily_consumption_wh,
            profile.available_energy_wh,
        )
    begins_with: Values = (None,) * 4
    if opening is not None:
        begins_with = (opening.book, opening.energy_wh, opening.asset, opening.amount_stroops)
    yield (
        MEMBER,
        (
            fact.member,
            recorded.stream,
            recorded.sequence,
            fact.address,
            fact.roles,
            recorded.envelope.time,
            *of_factory,
            *begins_with,
        ),
    )


def role_granted(recorded: Recorded[RoleGranted]) -> Iterator[tuple[Table, Values]]:
    """The roles that a member has since the registration was changed."""
    fact = recorded.fact
    place = (fact.member, recorded.stream, recorded.sequence)
    yield MEMBER_ROLES, (*place, fact.roles, recorded.envelope.time)


def key_rotated(recorded: Recorded[KeyRotated]) -> Iterator[tuple[Table, Values]]:
    """The key that a member has since it was replaced."""
    fact = recorded.fact
    place = (fact.member, recorded.stream, recorded.sequence)
    yield MEMBER_KEY, (*place, fact.address, recorded.envelope.time)


def member_suspended(recorded: Recorded[MemberSuspended]) -> Iterator[tuple[Table, Values]]:
    """Whether a member is suspended, and why."""
    fact = recorded.fact
    place = (fact.member, recorded.stream, recorded.sequence)
    yield MEMBER_SUSPENSION, (*place, fact.suspended, fact.reason, recorded.envelope.time)


def time_advanced(recorded: Recorded[TimeAdvanced]) -> Iterator[tuple[Table, Values]]:
    """The clock of the rules."""
    fact = recorded.fact
    yield CLOCK, (recorded.stream, recorded.sequence, fact.to, fact.cadence_s)


def time_reached(recorded: Recorded[TimeReached]) -> Iterator[tuple[Table, Values]]:
    """How far the writer of a stream has worked off the clock."""
    yield CLOCK, (recorded.stream, recorded.sequence, recorded.fact.to, None)
