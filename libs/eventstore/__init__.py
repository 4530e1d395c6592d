"""Append-only streams of bytes: written by one, in one go, with proof; read in order without gaps.

`JetStreamStore` is the real one, `MemoryStore` its twin for tests and simulation. Both keep the
promise of `EventStore` and pass the same tests. Nothing in here looks into a fact.
"""

from libs.eventstore.admin import Declared, declare
from libs.eventstore.errors import (
    EventStoreError,
    Fenced,
    GapFound,
    Malformed,
    NotPermitted,
    Rewound,
    StoreFull,
    StoreUnavailable,
    StreamDiffers,
    TooLarge,
    TooMany,
    TornAppend,
    Trimmed,
    UnexpectedAnswer,
    UnknownStream,
    WrongSubject,
)
from libs.eventstore.jetstream import JetStreamStore
from libs.eventstore.memory import Fault, Faults, MemoryServer, MemoryStore
from libs.eventstore.model import (
    APPEND_COUNT_MAX,
    FACT_BYTES_MAX,
    EventStore,
    Frame,
    Stored,
)
from libs.eventstore.spec import StreamSpec

__all__ = [
    "APPEND_COUNT_MAX",
    "FACT_BYTES_MAX",
    "Declared",
    "EventStore",
    "EventStoreError",
    "Fault",
    "Faults",
    "Fenced",
    "Frame",
    "GapFound",
    "JetStreamStore",
    "Malformed",
    "MemoryServer",
    "MemoryStore",
    "NotPermitted",
    "Rewound",
    "StoreFull",
    "StoreUnavailable",
    "Stored",
    "StreamDiffers",
    "StreamSpec",
    "TooLarge",
    "TooMany",
    "TornAppend",
    "Trimmed",
    "UnexpectedAnswer",
    "UnknownStream",
    "WrongSubject",
    "declare",
]
