"""Answers about members, time, anchors and the projection itself."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from services.gateway.shapes.base import Shape


class FactoryProfile(Shape):
    """What a factory of the energy network said of itself when it was registered."""

    business_name: str = Field(examples=["Solar Factory Alpha"])
    """The business."""
    energy_type: Literal["solar", "wind", "footstep"]
    """How it generates."""
    daily_consumption_wh: int
    """What it uses on a day, in Wh, as it says."""
    available_energy_wh: int
    """What it has to offer, in Wh, as it says."""
    opening_book: str | None
    """The book in which it trades."""
    opening_energy_wh: int | None
    """Energy tokens with which it began, in Wh."""
    opening_asset: str | None
    """What money it began with."""
    opening_stroops: int | None
    """How much of it, in stroops."""


class Member(Shape):
    """A registered member, as it is today."""

    member: str = Field(examples=["ann"])
    """The member."""
    address: str
    """Stellar address of the key that signs the member's commands."""
    roles: list[str] = Field(examples=[["recipient"]])
    """Roles."""
    is_suspended: bool
    """True: its commands are refused."""
    suspension_reason: str | None
    """Why, as a code; null unless it is suspended."""
    factory: FactoryProfile | None
    """Null for a member who is no factory."""
    registered_at: datetime
    """Domain time of the registration."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class Anchor(Shape):
    """One round of anchoring."""

    round: int
    """Number of the round."""
    log: str
    """Key of the fact."""
    status: Literal["prepared", "confirmed", "failed"]
    """Whether its transaction stands in a closed ledger."""
    network: str
    """Passphrase of the network."""
    is_devnet: bool
    """True: this is the devnet double and not Stellar."""
    notice: str
    """The same in words."""
    transaction_hash: str
    """Hash of the transaction."""
    ledger: int | None
    """The ledger that holds it."""
    closed_at: datetime | None
    """Close time of that ledger."""
    account: str
    """The anchor's account."""
    round_sha256: str
    """What the memo holds: SHA-256 of the signed checkpoints of all logs."""
    round_text: str
    """Those checkpoints."""
    prepared_at: datetime
    """Domain time."""
    valid_until: datetime
    """Upper time bound of the transaction."""
    reason: str | None
    """Why it failed."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class StreamClock(Shape):
    """How far one writer has worked off the clock."""

    stream: str
    """Its stream."""
    reached_at: datetime
    """The last time that it reached."""
    behind_s: int
    """Seconds behind the clock; 0 when it has caught up."""


class Clock(Shape):
    """The one clock of the rules."""

    now_at: datetime | None
    """The time that the oracle last published; null before the first."""
    cadence_s: int | None
    """Seconds until the next one is expected."""
    sequence: int | None
    """Position of that fact in PRICES."""
    is_played: bool
    """True: a player moves this clock; false: it follows the wall clock."""
    streams: list[StreamClock]
    """The writers that follow it."""


class StreamPosition(Shape):
    """How far a stream is projected."""

    stream: str
    """The stream."""
    sequence: int
    """Position of the last projected fact."""
    hash: str
    """First 32 hexadecimal digits of the SHA-256 of its bytes."""
    fact_count: int
    """How many facts were projected."""
    is_counted: bool
    """True: as many facts as positions, so nothing is missing; always true for REFUSALS."""
    last_at: datetime | None
    """Domain time of that fact."""
    moved_at: datetime
    """Wall-clock time at which the position moved."""
    facts: dict[str, int]
    """Number of projected facts by name."""


class HealthAnswer(Shape):
    """Whether the gateway can do its work."""

    status: Literal["ok"] = "ok"
    """Everything that it needs answers."""
    service: str
    """`gateway`."""
    version: str
    """The release that runs."""
    deployment: str
    """Id of this installation."""
    parts: dict[str, Any]
    """How each part is."""
