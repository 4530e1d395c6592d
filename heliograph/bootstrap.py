"""Declaring every stream: each vault by its own user, INTAKE and its consumers in EDGE.

Doing it again changes nothing, so it runs at every start. It is the only thing that ever logs in
to a vault.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from heliograph.broker import API, BOOTSTRAP_EDGE
from heliograph.errors import StackError
from heliograph.layout import INTAKE, Layout, Vault, intake_consumer, intake_spec, vaults
from libs.eventstore import Declared, EventStoreError, StoreUnavailable, declare

AT_ONCE: Final = 8
"""Vaults that are declared at the same time."""
RETRY_S: Final = 0.2
"""Seconds between two attempts while the broker is not there yet."""
ANSWER_S: Final = 10.0
"""Seconds to wait for one answer of the broker."""


async def declare_all(
    url: str, layout: Layout, passwords: Mapping[str, str], *, timeout_s: float = 30.0
) -> dict[str, Declared]:
    """Declare every stream of an installation.

    Args:
        url: Of the broker, such as `nats://127.0.0.1:4222`.
        layout: What there is.
        passwords: By user of the broker.
        timeout_s: Seconds to wait for a broker that is still starting.

    Returns:
        What was done, by stream.

    Raises:
        StackError: The broker cannot be reached or refuses, or a stream that exists is another.
    """
    reason = "no answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                done: dict[str, Declared] = {}
                try:
                    await _declare_everything(url, layout, passwords, done)
                except ExceptionGroup as group:
                    reason = _passing(url, _first(group))
                else:
                    return done
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise StackError(
            f"The broker at {url} did not answer in {timeout_s:g} s: {reason}."
        ) from None


def _passing(url: str, error: Exception) -> str:
    """Give the reason of a failure that may pass, and raise any other.

    Raises:
        StackError: It will not pass.
    """
    if not isinstance(error, EventStoreError | NatsError | OSError):
        raise error
    reason = str(error) or type(error).__name__
    if "authorization" in reason.lower():
        raise StackError(f"The broker at {url} refused the bootstrap: {reason}.")
    if isinstance(error, EventStoreError) and not isinstance(error, StoreUnavailable):
        raise StackError(f"A stream could not be declared: {reason}.")
    return reason


async def _declare_everything(
    url: str, layout: Layout, passwords: Mapping[str, str], done: dict[str, Declared]
) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(vault: Vault) -> None:
        async with turns, _connected(url, vault.user, passwords) as client:
            done[vault.stream] = await declare(client, vault.spec, timeout_s=ANSWER_S)

    async with asyncio.TaskGroup() as group:
        for vault in vaults(layout):
            group.create_task(one(vault))
        group.create_task(_declare_edge(url, layout, passwords, done))


def summary(done: Mapping[str, Declared]) -> str:
    """Tell in a few words what was done, such as `2 created, 7 same`."""
    counts = Counter(what.value for what in done.values())
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


async def _declare_edge(
    url: str, layout: Layout, passwords: Mapping[str, str], done: dict[str, Declared]
) -> None:
    async with _connected(url, BOOTSTRAP_EDGE, passwords) as client:
        done[INTAKE] = await declare(client, intake_spec(layout), timeout_s=ANSWER_S)
        for partition in range(layout.partitions):
            config = intake_consumer(partition)
            subject = f"{API}.CONSUMER.CREATE.{INTAKE}.{config['name']}.{config['filter_subject']}"
            body = json.dumps({"stream_name": INTAKE, "config": config}).encode()
            answer: dict[str, Any] = json.loads(
                (await client.request(subject, body, timeout=ANSWER_S)).data
            )
            if "error" in answer:
                raise StackError(f"Consumer {config['name']} of {INTAKE}: {answer['error']}.")


@asynccontextmanager
async def _connected(url: str, user: str, passwords: Mapping[str, str]) -> AsyncIterator[Client]:
    async def silent(_: Exception) -> None:
        """Errors come back from the calls themselves."""

    password = passwords.get(user)
    if password is None:
        raise StackError(f"The credentials hold no password for the broker's user {user}.")
    client = await nats.connect(
        url.split(","),
        name="heliograph-bootstrap",
        user=user,
        password=password,
        allow_reconnect=False,
        reconnect_time_wait=RETRY_S,
        error_cb=silent,
        connect_timeout=2,
    )
    try:
        yield client
    finally:
        await client.close()


def _first(group: ExceptionGroup[Exception]) -> Exception:
    found: Exception = group
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found
