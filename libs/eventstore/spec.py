"""How a stream is set up, with defaults that are safe for facts that are kept for ever."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from libs.eventstore.model import FACT_BYTES_MAX, HEADER_BYTES_MAX, STORE_HEADER_BYTES

NANOSECONDS: Final = 1_000_000_000
"""Nanoseconds in a second: the unit of durations in the JetStream API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """Settings of one stream. The defaults are those of a fact stream: nothing is ever evicted.

    Source:
        Contract on eventing, sections 1, 6 and 7; ADR-50 and ADR-56 of NATS.
    """

    name: str
    """Letters, digits, `_` and `-`, such as `READINGS_0`."""
    subjects: tuple[str, ...]
    """Subjects that it stores, with wildcards; at least one."""
    description: str = ""
    """A sentence for operators."""
    storage: Literal["file", "memory"] = "file"
    """Where messages are kept."""
    retention: Literal["limits", "workqueue"] = "limits"
    """`workqueue` removes a message once its consumer has acknowledged it (INTAKE)."""
    replicas: int = 1
    """Servers that keep a copy: 1, 3 or 5."""
    max_bytes: int | None = None
    """Most bytes kept, None for no limit but the disk.

    Every fact stream should have one: only this limit refuses a batch as a whole, the server's
    storage limit and a full disk tear it (`TornAppend`).
    """
    max_msgs: int | None = None
    """Most messages kept, None for no limit."""
    max_msgs_per_subject: int | None = None
    """Most messages kept per subject, None for no limit."""
    max_age_s: int = 0
    """Seconds that a message is kept, 0 for ever."""
    max_msg_size: int = FACT_BYTES_MAX + HEADER_BYTES_MAX + STORE_HEADER_BYTES
    """Most bytes of a message with its headers."""
    discard: Literal["new", "old"] = "new"
    """What gives way when a limit is reached. `new` refuses; `old` evicts and is never right for
    facts."""
    discard_new_per_subject: bool = False
    """Refuse by `max_msgs_per_subject` too, so that one flooding sender blocks only itself."""
    deny_delete: bool = True
    """No message can be deleted through the API, and this cannot be changed later."""
    deny_purge: bool = True
    """Messages cannot be purged through the API, and this cannot be changed later."""
    allow_atomic: bool = True
    """Several messages can be stored as one (ADR-50)."""
    allow_direct: bool = True
    """Followers may serve single messages."""
    subject_transform: tuple[str, str] | None = None
    """Source pattern and destination, such as `("intake.*.*",
    "intake.{{partition(4,2)}}.{{wildcard(2)}}")`."""
    duplicate_window_s: int = 120
    """Seconds in which a `Nats-Msg-Id` is remembered. This library never sets that header."""
    persist_mode: Literal["default", "async"] = "default"
    """`async` answers before writing (ADR-56): only for streams whose loss is harmless."""
    compression: Literal["none", "s2"] = "none"
    """How blocks on disk are packed."""
    max_consumers: int | None = 256
    """Most consumers at a time, None for no limit: whoever may read may make consumers, and each
    costs the server memory."""
    consumer_inactive_s: int = 300
    """Seconds after which the server removes a consumer that nobody asks, a durable one too; no
    consumer may ask for more. 0 for never: only where consumers belong to the installation."""

    def as_config(self) -> dict[str, Any]:
        """Give the settings as the JetStream API has them: -1 is no limit, durations in ns."""
        window_s = min(self.duplicate_window_s, self.max_age_s or self.duplicate_window_s)
        config: dict[str, Any] = {
            "name": self.name,
            "subjects": list(self.subjects),
            "description": self.description,
            "storage": self.storage,
            "retention": self.retention,
            "num_replicas": self.replicas,
            "max_bytes": _limit(self.max_bytes),
            "max_msgs": _limit(self.max_msgs),
            "max_msgs_per_subject": _limit(self.max_msgs_per_subject),
            "max_age": self.max_age_s * NANOSECONDS,
            "max_msg_size": self.max_msg_size,
            "max_consumers": _limit(self.max_consumers),
            "discard": self.discard,
            "discard_new_per_subject": self.discard_new_per_subject,
            "deny_delete": self.deny_delete,
            "deny_purge": self.deny_purge,
            "allow_atomic": self.allow_atomic,
            "allow_direct": self.allow_direct,
            "duplicate_window": window_s * NANOSECONDS,
            "compression": self.compression,
        }
        if self.subject_transform is not None:
            source, destination = self.subject_transform
            config["subject_transform"] = {"src": source, "dest": destination}
        if self.persist_mode != "default":
            config["persist_mode"] = self.persist_mode
        if self.consumer_inactive_s:
            inactive_ns = self.consumer_inactive_s * NANOSECONDS
            config["consumer_limits"] = {"inactive_threshold": inactive_ns}
        return config


def _limit(value: int | None) -> int:
    return -1 if value is None else value
