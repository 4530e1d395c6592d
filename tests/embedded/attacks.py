"""What a user could try at the broker: requests that are forbidden, and those that are granted."""

import json
from collections.abc import Callable, Iterator

from heliograph.broker import GATEWAY, INGEST_EDGE, READ_REQUESTS
from heliograph.layout import INTAKE, WRITERS_AND_READERS
from tests.embedded.town import VAULTS, subject_in

EVERYBODY = (*WRITERS_AND_READERS, GATEWAY, INGEST_EDGE)
"""Every user that a program of ours has, but for the bootstrap."""

MANAGING = (
    "STREAM.CREATE.{s}",
    "STREAM.UPDATE.{s}",
    "STREAM.DELETE.{s}",
    "STREAM.PURGE.{s}",
    "STREAM.MSG.DELETE.{s}",
    "STREAM.SNAPSHOT.{s}",
    "STREAM.RESTORE.{s}",
    "STREAM.LEADER.STEPDOWN.{s}",
    "STREAM.PEER.REMOVE.{s}",
    "CONSUMER.CREATE.{s}",
    "CONSUMER.DURABLE.CREATE.{s}.evil",
    "CONSUMER.LIST.{s}",
    "CONSUMER.NAMES.{s}",
    "CONSUMER.INFO.{s}.evil",
    "CONSUMER.PAUSE.{s}.evil",
    "CONSUMER.UNPIN.{s}.evil",
    "CONSUMER.LEADER.STEPDOWN.{s}.evil",
    "DIRECT.GET.{s}.>",
)
"""Requests about a stream that nobody but the bootstrap may make."""

ABOUT_ALL = ("INFO", "STREAM.NAMES", "STREAM.LIST", "ACCOUNT.PURGE.{a}", "META.LEADER.STEPDOWN")
"""Requests about an account."""

BODIES: dict[str, Callable[[str], dict[str, object]]] = {
    "STREAM.CREATE": lambda s: {"name": s, "subjects": ["evil.>"]},
    "STREAM.UPDATE": lambda s: {"name": s, "subjects": ["evil.>"], "max_msgs": 1},
    "STREAM.MSG.DELETE": lambda _: {"seq": 1},
    "STREAM.MSG.GET": lambda _: {"seq": 1},
    "STREAM.SNAPSHOT": lambda _: {"deliver_subject": "evil"},
    "STREAM.RESTORE": lambda s: {"config": {"name": s}, "state": {}},
    "DIRECT.GET": lambda _: {"seq": 1},
    "CONSUMER.CREATE": lambda s: {
        "stream_name": s,
        "config": {"name": "evil", "ack_policy": "none", "mem_storage": True},
    },
    "CONSUMER.DURABLE.CREATE": lambda s: {
        "stream_name": s,
        "config": {"durable_name": "evil", "ack_policy": "none"},
    },
    "CONSUMER.MSG.NEXT": lambda _: {"batch": 10, "no_wait": True},
}


def request(name: str, stream: str, prefix: str = "$JS.API") -> tuple[str, bytes]:
    """A well-formed request about a stream."""
    subject = name.format(s=stream, stream=stream, a="VAULT_MEMBERS").replace(">", "evil")
    starts = [start for start in BODIES if name.startswith(start)]
    body = json.dumps(BODIES[max(starts, key=len)](stream)).encode() if starts else b""
    return f"{prefix}.{subject}", body


def writes(user: str) -> set[str]:
    return {stream for stream, vault in VAULTS.items() if vault.writer == user}


def reads(user: str) -> set[str]:
    return {stream for stream, vault in VAULTS.items() if user in vault.readers}


def forbidden_requests(user: str) -> Iterator[tuple[str, bytes]]:
    for stream in (*VAULTS, INTAKE, "$MQTT_sess", "$MQTT_rmsgs"):
        for prefix in ("$JS.API", "FACTS.API"):
            yield from (request(name, stream, prefix) for name in (*MANAGING, *ABOUT_ALL))
        for name, _ in READ_REQUESTS:
            if stream not in reads(user):
                yield request(name, stream, "FACTS.API")
            if user != INGEST_EDGE or name == "CONSUMER.CREATE.{stream}.>":
                yield request(name, stream)


def delivery_targets(stream: str) -> list[str]:
    verbs = ("STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE", "DIRECT.GET")
    targets = [f"$JS.API.{verb}.{stream}" for verb in verbs]
    targets += [subject.replace("*", "evil") for subject in VAULTS[stream].spec.subjects]
    after = sorted(VAULTS)[sorted(VAULTS).index(stream) - 1]
    return [*targets, subject_in(VAULTS[after])]
