"""The configuration of nats-server, made from the one table (decision 0002).

Accounts: a vault per stream, one per service, EDGE for devices, GATE for the gateway, SYS for the
operator. What an account may do is what it imports; what its user may publish is listed beside.
Pure: text out of a layout and passwords.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from heliograph.errors import StackError
from heliograph.layout import (
    COMMANDED,
    INTAKE,
    REFUSALS,
    WRITERS_AND_READERS,
    Layout,
    Vault,
    device_user,
    intake_consumer,
    vaults,
)

API: Final = "$JS.API"
"""Prefix of the JetStream API inside a vault."""
FACTS_API: Final = "FACTS.API"
"""Prefix under which a service imports the requests that it may make."""

READ_REQUESTS: Final = (
    ("STREAM.INFO.{stream}", False),
    ("STREAM.MSG.GET.{stream}", False),
    ("CONSUMER.CREATE.{stream}.>", False),
    ("CONSUMER.DELETE.{stream}.>", False),
    ("CONSUMER.MSG.NEXT.{stream}.>", True),
    ("DIRECT.GET.{stream}", True),
)
"""What a reader may ask of a stream, and whether more than one answer comes."""

GATEWAY: Final = "gateway"
"""The user of account GATE."""
INGEST_EDGE: Final = "ingest-edge"
"""The user of ingest's second connection, in account EDGE."""
BOOTSTRAP_EDGE: Final = "bootstrap-EDGE"
"""The bootstrap's user in account EDGE."""
OPERATOR: Final = "operator"
"""The user of the system account."""
CLUSTER_USER: Final = "cluster"
"""The user by which the servers of one cluster know each other."""
CLUSTER_PORT: Final = 6222
"""TCP port on which they do."""

RESPONDER_SUBJECTS: Final = ("_INBOX.>", "_R_.>")
"""Where a service that takes commands may answer."""

UNWRITABLE: Final = frozenset({"Cc", "Cs"})
"""Categories of characters that the configuration cannot hold: controls, and bytes of a file name
that are no UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Where the server listens and keeps its data."""

    client_port: int
    """TCP port for services."""
    monitor_port: int
    """HTTP port of the monitoring, which asks for no password: loopback only."""
    mqtt_port: int
    """TCP port for devices."""
    store: str
    """Folder of the streams."""
    host: str = "127.0.0.1"
    """Address for services and devices."""
    server_name: str = "heliograph"
    """Unique in a cluster; MQTT needs one. `$NAME` takes it from the server's environment."""
    peers: tuple[str, ...] = ()
    """Hosts of all servers of the cluster; none for a server that is alone."""


def users(layout: Layout) -> tuple[str, ...]:
    """Give every user that the configuration names, and so needs a password for."""
    return (
        *WRITERS_AND_READERS,
        GATEWAY,
        INGEST_EDGE,
        BOOTSTRAP_EDGE,
        OPERATOR,
        *(vault.user for vault in vaults(layout)),
        *(device_user(site) for site in layout.sites),
    )


def configuration(layout: Layout, listeners: Listeners, passwords: Mapping[str, str]) -> str:
    """Write nats-server's configuration file.

    Args:
        layout: Books, partitions, sites.
        listeners: Where it listens.
        passwords: By user; see `users`.

    Raises:
        KeyError: A user has no password.
        StackError: A value has a character that the file cannot hold.
    """
    at = f"{listeners.host}:"
    every = vaults(layout)
    lines = [
        "# Made by heliograph/broker.py from libs/events/subjects.py, and rewritten: do not edit.",
        f"server_name: {_variable_or_quoted(listeners.server_name)}",
        f"listen: {_quoted(at + str(listeners.client_port))}",
        f"http: {_quoted('127.0.0.1:' + str(listeners.monitor_port))}",
        "max_payload: 1MB",
        "# An acknowledgement means that the facts are on disk.",
        f"jetstream {{ store_dir: {_quoted(listeners.store)}, sync_interval: always }}",
        f"mqtt {{ listen: {_quoted(at + str(listeners.mqtt_port))}, reject_qos2_publish: true }}",
        *_cluster(listeners, passwords),
        "system_account: SYS",
        "accounts {",
        f"  SYS {{ users: [{_user(OPERATOR, passwords)}] }}",
        *(line for vault in every for line in _vault(vault, passwords)),
        *(line for name in WRITERS_AND_READERS for line in _service(name, every, passwords)),
        *_gate(passwords),
        *_edge(layout, passwords),
        "}",
    ]
    return "\n".join(lines) + "\n"


def write_subjects(service: str, every: Iterable[Vault]) -> tuple[str, ...]:
    """Give the subjects to which a service may append."""
    return tuple(s for vault in every if vault.writer == service for s in vault.spec.subjects)


def _cluster(listeners: Listeners, passwords: Mapping[str, str]) -> Iterator[str]:
    if not listeners.peers:
        return
    password = passwords[CLUSTER_USER]
    login = f"user: {CLUSTER_USER}, password: {_quoted(password)}"
    yield "cluster {"
    yield "  name: heliograph"
    yield f"  listen: {_quoted(f'{listeners.host}:{CLUSTER_PORT}')}"
    yield f"  authorization {{ {login}, timeout: 2 }}"
    yield "  routes: ["
    for peer in listeners.peers:
        yield f"    {_quoted(f'nats-route://{CLUSTER_USER}:{password}@{peer}:{CLUSTER_PORT}')}"
    yield "  ]"
    yield "}"


def _vault(vault: Vault, passwords: Mapping[str, str]) -> Iterator[str]:
    yield f"  {vault.account} {{"
    yield "    jetstream: enabled"
    yield f"    users: [{_user(vault.user, passwords)}]"
    yield "    exports: ["
    for subject in vault.spec.subjects:
        yield f"      {{ service: {_quoted(subject)}, accounts: [{vault.writer}] }}"
    for request, many in READ_REQUESTS:
        subject = f"{API}.{request.format(stream=vault.stream)}"
        kind = ", response_type: stream" if many else ""
        accounts = ", ".join(vault.readers)
        yield f"      {{ service: {_quoted(subject)}{kind}, accounts: [{accounts}] }}"
    yield "    ]"
    yield "  }"


def _service(name: str, every: tuple[Vault, ...], passwords: Mapping[str, str]) -> Iterator[str]:
    writes = write_subjects(name, every)
    publish = [*writes, f"{FACTS_API}.>"]
    subscribe = ["_INBOX.>"]
    if name in COMMANDED:
        # Processes of one service tell each other who holds the pen; no other account hears it.
        lease = f"lease.{name}.>"
        publish += [*RESPONDER_SUBJECTS, lease]
        subscribe += [f"commands.{name}.>", lease]
    yield f"  {name} {{"
    yield f"    users: [{_user(name, passwords, publish, subscribe)}]"
    if name in COMMANDED:
        yield f"    exports: [{{ service: {_quoted(f'commands.{name}.>')}, accounts: [GATE] }}]"
    yield "    imports: ["
    for vault in every:
        if vault.writer == name:
            yield from (_import(vault.account, subject) for subject in vault.spec.subjects)
        if name in vault.readers:
            for request, _ in READ_REQUESTS:
                asked = request.format(stream=vault.stream)
                yield _import(vault.account, f"{API}.{asked}", f"{FACTS_API}.{asked}")
    yield "    ]"
    yield "  }"


def _gate(passwords: Mapping[str, str]) -> Iterator[str]:
    yield "  GATE {"
    yield f"    users: [{_user(GATEWAY, passwords, ['commands.>'], ['_INBOX.>'])}]"
    yield "    imports: ["
    yield from (_import(name, f"commands.{name}.>") for name in COMMANDED)
    yield "    ]"
    yield "  }"


def _edge(layout: Layout, passwords: Mapping[str, str]) -> Iterator[str]:
    """Write the account of devices; MQTT keeps its sessions in streams of its own here."""
    consumers = [intake_consumer(partition)["name"] for partition in range(layout.partitions)]
    takes = [
        f"{API}.STREAM.INFO.{INTAKE}",
        *(f"{API}.CONSUMER.INFO.{INTAKE}.{name}" for name in consumers),
        *(f"{API}.CONSUMER.MSG.NEXT.{INTAKE}.{name}" for name in consumers),
        f"$JS.ACK.{INTAKE}.>",
        "receipts.>",
    ]
    yield "  EDGE {"
    yield "    jetstream: { max_mem: 256MB, max_file: 1GB, max_streams: 16 }"
    yield "    users: ["
    yield f"      {_user(BOOTSTRAP_EDGE, passwords)}"
    yield f"      {_user(INGEST_EDGE, passwords, takes, ['_INBOX.>'])}"
    for site, meters in layout.sites.items():
        # `$MQTT.sub.` is where the server itself delivers messages of quality 1 to the session;
        # it refuses subscriptions of clients to it.
        publish = [f"intake.{site}.{meter}" for meter in meters]
        subscribe = [f"receipts.{site}.>", "$MQTT.sub.>"]
        name = device_user(site)
        yield f"      {_user(name, passwords, publish, subscribe, connections='MQTT')}"
    yield "    ]"
    yield "  }"


def _user(
    name: str,
    passwords: Mapping[str, str],
    publish: Iterable[str] | None = None,
    subscribe: Iterable[str] | None = None,
    connections: str = "STANDARD",
) -> str:
    parts = [f"user: {_quoted(name)}", f"password: {_quoted(passwords[name])}"]
    parts.append(f"allowed_connection_types: [{connections}]")
    if publish is not None and subscribe is not None:
        allowed = (
            f"{{ allow: [{', '.join(map(_quoted, subjects))}] }}"
            for subjects in (publish, subscribe)
        )
        parts.append("permissions: {{ publish: {}, subscribe: {} }}".format(*allowed))
    return "{ " + ", ".join(parts) + " }"


def _import(account: str, subject: str, to: str | None = None) -> str:
    renamed = "" if to is None else f", to: {_quoted(to)}"
    return f"      {{ service: {{ account: {account}, subject: {_quoted(subject)} }}{renamed} }}"


def _quoted(text: str) -> str:
    """Write a string as nats-server reads it: as it stands, for it knows no escapes of letters."""
    if any(unicodedata.category(each) in UNWRITABLE for each in text):
        raise StackError(
            f"{text!a}: the broker's configuration takes no control characters and only "
            "UTF-8. Choose another name or folder."
        )
    return json.dumps(text, ensure_ascii=False)


def _variable_or_quoted(text: str) -> str:
    return text if text.startswith("$") else _quoted(text)


__all__ = [
    "API",
    "FACTS_API",
    "GATEWAY",
    "INGEST_EDGE",
    "OPERATOR",
    "READ_REQUESTS",
    "REFUSALS",
    "Listeners",
    "configuration",
    "users",
    "write_subjects",
]
