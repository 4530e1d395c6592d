"""Streams and subjects: the one table of who writes what, where, and who reads it.

A subject is `<prefix>[.<part>].<key>.<Type>`: the part is the partition or the book of the stream.
The clock's own facts stand under `time.<Type>`. Every rule about names is here; nobody else builds
a subject from pieces.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from libs.events.ids import is_id

TIME_KEY = "time"
"""The reserved key of `TimeAdvanced` and `TimeReached`."""

TIME_FACTS = frozenset({"TimeAdvanced", "TimeReached"})
"""The facts that stand under the reserved key, and no others."""

STREAMS_REMEMBERED = 1_024
"""Streams whose family is remembered."""

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_MASK_32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class StreamFamily:
    """Streams of one kind: one per partition, one per book, or a single one."""

    name: str
    """Name of the stream, or its first half: `READINGS`, `LEDGER`, `MEMBERS`."""
    prefix: str
    """First token of its subjects."""
    parted_by: Literal["partition", "book", "nothing"]
    """What tells several streams of the family apart."""
    writer: str
    """The one service that appends to it."""
    readers: tuple[str, ...]
    """The services that follow it (eventing contract, section 4), besides anchor, projection."""

    def stream(self, part: str) -> str:
        """Name of the stream of one partition or book; `part` is ignored for a single stream."""
        return self.name if self.parted_by == "nothing" else f"{self.name}_{part}"

    def subject(self, part: str, key: str, fact_name: str) -> str:
        """Subject of a fact.

        Args:
            part: Partition or book; ignored for a single stream.
            key: What the fact is about: a meter, a member, an agreement, `time`.
            fact_name: Name of the fact, such as `ReadingRecorded`.

        Raises:
            ValueError: The part or the key is no id, or the key `time` is used for anything else.
        """
        if (key == TIME_KEY) != (fact_name in TIME_FACTS):
            raise ValueError(f"key {TIME_KEY!r} is reserved for {', '.join(sorted(TIME_FACTS))}")
        if not is_id(key):
            raise ValueError(f"key {key!r} is no id: letters, digits, _ and -, at most 64")
        if self.parted_by == "nothing":
            if self.name == "PRICES" and key == TIME_KEY:
                return f"{TIME_KEY}.{fact_name}"
            return f"{self.prefix}.{key}.{fact_name}"
        if not is_id(part):
            raise ValueError(f"{self.parted_by} {part!r} is no id")
        return f"{self.prefix}.{part}.{key}.{fact_name}"

    def subjects(self, part: str) -> tuple[str, ...]:
        """The subjects that the stream of this part keeps."""
        if self.name == "PRICES":
            return (f"{self.prefix}.*.*", f"{TIME_KEY}.*")
        if self.parted_by == "nothing":
            return (f"{self.prefix}.*.*",)
        return (f"{self.prefix}.{part}.*.*",)


READINGS = StreamFamily(
    "READINGS", "readings", "partition", "ingest", ("ledger", "billing", "oracle")
)
METERS = StreamFamily("METERS", "meters", "partition", "ingest", ("ledger", "billing"))
MEMBERS = StreamFamily("MEMBERS", "members", "nothing", "ledger", ("ingest", "billing", "oracle"))
PRICES = StreamFamily(
    "PRICES", "prices", "nothing", "oracle", ("ingest", "ledger", "billing", "anchor")
)
LEDGER = StreamFamily("LEDGER", "ledger", "book", "ledger", ("ledger", "billing", "oracle"))
BILLING = StreamFamily("BILLING", "billing", "book", "billing", ("ledger", "oracle"))
ANCHORS = StreamFamily("ANCHORS", "anchors", "nothing", "anchor", ("oracle",))

FAMILIES: dict[str, StreamFamily] = {
    family.name: family for family in (READINGS, METERS, MEMBERS, PRICES, LEDGER, BILLING, ANCHORS)
}
"""Every family of fact streams, by name."""


@lru_cache(maxsize=STREAMS_REMEMBERED)  # asked for every fact, and there are few streams
def family_of(stream: str) -> tuple[StreamFamily, str]:
    """Split a stream's name into its family and its part (empty for a single stream).

    Raises:
        ValueError: No such family, a part where none belongs, or a part that is no id.
    """
    name, underscore, part = stream.partition("_")
    family = FAMILIES.get(name)
    alone = family is not None and family.parted_by == "nothing"
    if family is None or alone == bool(underscore) or not (alone or is_id(part)):
        raise ValueError(f"{stream!r} is no fact stream")
    return family, part


def partition_of(meter: str, partition_count: int) -> int:
    """The partition of a meter: FNV-1a (32 bits) of its id, as nats-server's `partition()` does.

    Args:
        meter: The meter's id.
        partition_count: Number of partitions, fixed at installation, at least 1.

    Source:
        nats-server, subject mapping `partition(n, token)`; eventing contract, section 6.
    """
    value = _FNV_OFFSET
    for byte in meter.encode("utf-8"):
        value = ((value ^ byte) * _FNV_PRIME) & _MASK_32
    return value % partition_count
