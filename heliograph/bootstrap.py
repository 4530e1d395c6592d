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
from libs.eventstore import Declared, EventStoreError, StreamDiffers, UnexpectedAnswer, declare

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
    loop = asyncio.get_running_loop()
    deadline, reason = loop.time() + timeout_s, "no answer"
    while loop.time() < deadline:
        done: dict[str, Declared] = {}
        attempt = asyncio.ensure_future(_declare_everything(url, layout, passwords, done))
        try:
            # Not `asyncio.timeout`: one that strikes while the group inside fails is lost in 3.11.
            await asyncio.wait({attempt}, timeout=deadline - loop.time())
        finally:
            attempt.cancel()
            outcome = (await asyncio.gather(attempt, return_exceptions=True))[0]
        if outcome is None:
            return done
        reason = _passing(url, outcome, reason)
        await asyncio.sleep(RETRY_S)
    raise StackError(f"The broker at {url} did not answer in {timeout_s:g} s: {reason}.")


def _passing(url: str, outcome: BaseException, before: str) -> str:
    """Give the reason of a failure that may pass, and raise any other.

    A cluster that is still coming together refuses for many reasons; all of them may pass.

    Args:
        url: Of the broker.
        outcome: What the attempt ended with.
        before: The reason of the attempt before.

    Raises:
        StackError: It will not pass.
    """
    error = _first(outcome)
    if isinstance(error, asyncio.CancelledError):
        return before  # its time was over
    if not isinstance(error, EventStoreError | NatsError | OSError):
        raise error
    reason = str(error) or type(error).__name__
    if "authorization" in reason.lower():
        raise StackError(f"The broker at {url} refused the bootstrap: {reason}.")
    if isinstance(error, StreamDiffers):
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
                raise UnexpectedAnswer(f"consumer {config['name']} of {INTAKE}: {answer['error']}")


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


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
