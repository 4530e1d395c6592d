"""What the examples are made of: the people, the times, and how a fact of the story is written."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from libs.events.command import Body, Command, write_command
from libs.events.envelope import Draft, encode
from libs.events.fact import Fact
from libs.events.jws import SigningKey
from libs.events.positions import Position, fact_hash, write_cause, write_seen
from libs.events.quantities import format_instant

DEPLOYMENT = "golden-valley"
BOOK = "valley"
READINGS, METERS, MEMBERS, PRICES = "READINGS_0", "METERS_0", "MEMBERS", "PRICES"
LEDGER, BILLING, ANCHORS = f"LEDGER_{BOOK}", f"BILLING_{BOOK}", "ANCHORS"

SPRING = datetime(2016, 6, 1, 6, tzinfo=UTC)
"""Midnight of the first of June in Denver."""
JULY = datetime(2016, 7, 1, 6, tzinfo=UTC)
AUGUST = datetime(2016, 8, 1, 6, tzinfo=UTC)
NOON = datetime(2016, 7, 1, 18, tzinfo=UTC)
WINDOW_S = 3_600

USD = "USD"


@dataclass(frozen=True, slots=True)
class Example:
    """A fact with all that stands around it."""

    stream: str
    """Where it stands."""
    key: str
    """What it is about."""
    fact: Fact
    """The fact."""
    id: str
    """Its id."""
    time: datetime
    """Domain time."""
    cause: str
    """What led to it."""
    n: int = 1
    """Number within its key."""
    sequence: int = 1
    """Where it stands in the stream."""
    is_least: bool = False
    """All optional members are absent."""
    variant: str = ""
    """Tells several full examples of a fact apart whose members exclude each other."""

    @property
    def name(self) -> str:
        """Name of its golden file, without an ending."""
        fact = type(self.fact)
        more = "least" if self.is_least else self.variant
        return f"{fact.fact_name}.v{fact.fact_version}" + (f".{more}" if more else "")

    def encoded(self) -> tuple[str, bytes]:
        """Its subject and its stored bytes."""
        return encode(
            Draft(self.key, self.fact, self.id, self.time),
            deployment=DEPLOYMENT,
            stream=self.stream,
            n=self.n,
            cause=self.cause,
            seen=write_seen(place for place in INPUTS if place.stream != self.stream),
        )


def key_of(name: str) -> SigningKey:
    """The key of a person or device of the story."""
    return SigningKey(hashlib.sha256(f"heliograph example key of {name}".encode()).digest())


def at(stream: str, sequence: int) -> Position:
    """A position of the story, with the hash of nothing in particular."""
    return Position(stream, sequence, fact_hash(f"{stream}:{sequence}".encode()))


INPUTS = (at(PRICES, 7), at(MEMBERS, 5), at(METERS, 2), at(READINGS, 5_953))
"""What every writer of the story had read."""


def claims(member: str, command_id: str, body: Body, book: str, time: datetime) -> Command:
    """The claims of a command of the story."""
    nbf = int(time.timestamp())
    return Command(
        deployment=DEPLOYMENT,
        service=body.service,
        book=book,
        id=command_id,
        member=member,
        nbf=nbf,
        exp=nbf + WINDOW_S,
        after=write_seen([at(LEDGER, 9), at(PRICES, 7)]),
        command=body.command_name,
        body=body,
    )


def signed(command: Command) -> str:
    """A command of the story as its member signs it."""
    return key_of(command.member).sign("hg-command+jws", write_command(command))


def from_command(
    stream: str, command: Command, kind: str, key: str, fact: Fact, *, sequence: int = 3
) -> Example:
    """A fact that follows from a command of the story."""
    name = f"{command.member}.{command.id}"
    time = datetime.fromtimestamp(command.nbf, UTC)
    cause = write_cause(None, name)
    return Example(stream, key, fact, f"{name}.{kind}", time, cause, 2, sequence)


def from_time(
    stream: str, key: str, name: str, fact: Fact, time: datetime = AUGUST, *, sequence: int = 50
) -> Example:
    """A fact of the story that follows by itself when the clock of the rules moves on."""
    cause = write_cause(at(PRICES, 8), f"time.{format_instant(time)}")
    return Example(stream, key, fact, name, time, cause, 4, sequence)


def least_of(example: Example, **absent: object) -> Example:
    """The same fact without its optional members, as it follows by itself.

    Args:
        example: The full example.
        absent: Members that are absent or, where the value is not None, what they are instead.
    """
    fact = example.fact
    members = {name: value for name, value in dict(fact).items() if name not in absent}
    members |= {name: value for name, value in absent.items() if value is not None}
    cause = write_cause(at(PRICES, 8), f"time.{format_instant(example.time)}")
    bare = type(fact).model_validate(members)
    return replace(example, fact=bare, cause=cause, n=5, sequence=51, is_least=True)
