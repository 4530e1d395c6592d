"""Appending and reading reach nine tenths of what nats-py can do when used without any care.

The yardstick writes ready frames and counts what comes back through a subscription's callback; it
checks nothing.
"""

import asyncio
import json
import secrets
import statistics
import time

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.eventstore import Frame, JetStreamStore, StreamSpec, declare
from tests.servers import NatsServer

S = "S"
BATCHES = 3
ROUNDS = 30
BODY = b"x" * 500


async def append_carelessly(client: Client, expected: int) -> int:
    inbox, got = client.new_inbox(), asyncio.get_running_loop().create_future()

    async def on_answer(message: Msg) -> None:
        got.set_result(json.loads(message.data))

    subscription = await client.subscribe(inbox, cb=on_answer)
    name, frames = secrets.token_hex(8), []
    for number in range(1, 1001):
        head = f"NATS/1.0\r\nNats-Batch-Id:{name}\r\nNats-Batch-Sequence:{number}\r\n"
        head += f"Heliograph-Append:{name}\r\n"
        if number == 1:
            head += f"Nats-Expected-Last-Sequence:{expected}\r\n"
        if number == 1000:
            head += "Nats-Batch-Commit:1\r\n"
        reply = inbox if number == 1000 else ""
        size = len(head) + 2
        frames.append(f"HPUB s.a {reply} {size} {size + len(BODY)}\r\n{head}\r\n".encode())
        frames.append(BODY + b"\r\n")
    await client._send_command(b"".join(frames))
    await client._flush_pending()
    answer = await asyncio.wait_for(got, 10)
    await subscription.unsubscribe()
    last: int = answer["seq"]
    return last


async def read_carelessly(client: Client, count: int) -> None:
    name, inbox, done, got = secrets.token_hex(4), client.new_inbox(), asyncio.Event(), 0
    config = {
        "name": name,
        "deliver_policy": "all",
        "ack_policy": "none",
        "mem_storage": True,
        "inactive_threshold": 60_000_000_000,
    }
    request = json.dumps({"stream_name": S, "config": config}).encode()
    await client.request(f"$JS.API.CONSUMER.CREATE.{S}.{name}", request, timeout=5)
    more = f"$JS.API.CONSUMER.MSG.NEXT.{S}.{name}"
    pull = b'{"batch":1000,"expires":5000000000}'

    async def on_message(message: Msg) -> None:
        nonlocal got
        if message.headers and "Status" in message.headers:
            return
        got += 1
        if got % 1000 == 0:
            await client.publish(more, pull, reply=inbox)
        if got == count:
            done.set()

    subscription = await client.subscribe(inbox, cb=on_message)
    for _ in range(3):
        await client.publish(more, pull, reply=inbox)
    await asyncio.wait_for(done.wait(), 60)
    await subscription.unsubscribe()


@pytest.mark.long
async def test_speed_is_nine_tenths_of_careless_use(own_server: NatsServer) -> None:
    store = await JetStreamStore.connect(own_server.url)
    await declare(store.client, StreamSpec(name=S, subjects=("s.>",)))
    frames = [Frame("s.a", BODY)] * 1000
    rates: dict[str, list[float]] = {
        name: [] for name in ("append", "append raw", "read", "read raw")
    }
    end = 0

    def note(what: str, count: int, began: float) -> None:
        rates[what].append(count / (time.perf_counter() - began))

    for number in range(ROUNDS):
        for what in ("append", "append raw") if number % 2 else ("append raw", "append"):
            began = time.perf_counter()
            for _ in range(BATCHES):
                if what == "append":
                    end = await store.append(S, frames, expected=end)
                else:
                    end = await append_carelessly(store.client, end)
            note(what, BATCHES * 1000, began)
    for _ in range(ROUNDS // 4):
        began, got = time.perf_counter(), 0
        async for batch in store.read(S, until=end):
            got += len(batch)
        assert got == end
        note("read", end, began)
        began = time.perf_counter()
        await read_carelessly(store.client, end)
        note("read raw", end, began)
    # Medians of rounds in turn, since other work on the machine disturbs single rounds.
    median = {what: statistics.median(found) for what, found in rates.items()}
    for what, rate in median.items():
        print(f"{what}: {rate:,.0f}/s")  # noqa: T201 - the figures are the point
    # Appending is mostly the server's work and its syncs, so its rates scatter more.
    assert median["append"] >= 0.8 * median["append raw"]
    assert median["read"] >= 0.9 * median["read raw"]
    await store.close()
