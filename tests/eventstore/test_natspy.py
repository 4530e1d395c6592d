"""The insides of nats-py that `libs.eventstore.natspy` uses: these fail when nats-py changes."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from libs.eventstore import Frame, JetStreamStore, StreamSpec, declare
from libs.eventstore.appending import Append, append_once
from libs.eventstore.natspy import TappedClient
from libs.eventstore.wire import encode_append
from tests.faults import Act, FaultProxy, Side
from tests.servers import NatsServer

SPEC = StreamSpec(name="S", subjects=("s.>",))


def test_the_overridden_parts_have_the_known_form() -> None:
    wanted: dict[Callable[..., Any], list[str]] = {
        Client._send_command: ["self", "cmd", "priority"],
        Client._flush_pending: ["self", "force_flush"],
        Client._process_msg: ["self", "sid", "subject", "reply", "data", "headers"],
        Client._remove_sub: ["self", "sid", "max_msgs"],
        Client._process_connect_init: ["self"],
        TcpTransport.write: ["self", "payload"],
    }
    for method, names in wanted.items():
        assert list(inspect.signature(method).parameters) == names, method


async def test_a_block_is_written_at_once_and_in_order(own_server: NatsServer) -> None:
    client = TappedClient()
    await client.connect(own_server.url)
    written: list[bytes] = []
    transport = client._transport
    assert transport is not None
    original = transport.writelines

    def spy(payload: list[bytes]) -> None:
        written.extend(payload)
        original(payload)

    transport.writelines = spy  # type: ignore[method-assign]
    block = b"".join(b"PUB s.a 100\r\n" + b"x" * 100 + b"\r\n" for _ in range(5000))
    await client.write_at_once(block)
    await client.flush()
    assert block in written
    await client.close()


async def test_what_is_written_now_is_there_before_anything_is_awaited(
    own_server: NatsServer,
) -> None:
    client, other = TappedClient(), TappedClient()
    for each in (client, other):
        await each.connect(own_server.url)
    subscription = await other.subscribe("s.a")
    await other.flush()

    assert client.write_now(b"PUB s.a 5\r\nhello\r\n")
    assert (await subscription.next_msg(timeout=5)).data == b"hello"
    await client.close()
    assert not client.write_now(b"PUB s.a 5\r\nhello\r\n")
    await other.close()


async def test_a_tapped_subscription_gets_raw_messages_and_others_go_on(
    own_server: NatsServer,
) -> None:
    client = TappedClient()
    await client.connect(own_server.url)
    seen: list[tuple[bytes, bytes, bytes, bytes | None]] = []
    both = asyncio.Event()

    def take(*parts: Any) -> None:
        seen.append(parts)
        if len(seen) == 2:
            both.set()

    subscription = await client.tap("t.>", take)
    plain = await client.subscribe("t.>")
    await client.publish("t.one", b"1", reply="back")
    await client.publish("t.two", b"2", headers={"a": "b"})
    async with asyncio.timeout(5):  # a PONG may overtake what the server delivers to us
        await both.wait()
    first, second = seen
    assert first[:3] == (b"t.one", b"back", b"1")
    assert not first[3]
    assert second == (b"t.two", b"", b"2", b"NATS/1.0\r\na: b\r\n\r\n")
    assert (await plain.next_msg()).data == b"1"
    assert (await plain.next_msg()).headers == {"a": "b"}
    await subscription.unsubscribe()
    assert client._taps == {}
    await client.publish("t.three", b"3")
    await client.flush()
    assert len(seen) == 2
    await client.close()


async def test_taps_are_there_again_after_a_reconnect(own_server: NatsServer) -> None:
    async with FaultProxy(own_server.port) as proxy:
        store = await JetStreamStore.connect(proxy.url, reconnect_pause_s=0.02)
        seen: list[bytes] = []
        await store._link.client.tap("t", lambda _s, _r, data, _h: seen.append(data))
        proxy.cut()
        await asyncio.sleep(0.1)
        await store._link.up(store._link.now() + 5)
        await store.client.publish("t", b"1")
        await store.client.flush()
        assert seen == [b"1"]
        await store.close()


async def test_a_handshake_that_fails_leaves_no_open_connection(own_server: NatsServer) -> None:
    async with FaultProxy(own_server.port) as proxy:
        store = await JetStreamStore.connect(proxy.url, reconnect_pause_s=0.02)
        left: list[asyncio.StreamWriter] = []
        for _ in range(3):
            proxy.rule(Side.TO_CLIENT, b"INFO ", Act.CUT_BEFORE)
        proxy.cut()
        epoch = store._link.epoch
        while store._link.epoch == epoch or not store._link.client.is_connected:
            transport = store._link.client._transport
            writer = getattr(transport, "_bare_io_writer", None)
            if writer is not None and writer not in left:
                left.append(writer)
            await asyncio.sleep(0)
        *failed, current = left
        assert len(failed) >= 3
        assert all(writer.is_closing() for writer in failed)
        assert not current.is_closing()
        await store.close()


async def test_an_append_that_waits_in_the_buffer_of_a_lost_connection_is_no_second_one(
    own_server: NatsServer,
) -> None:
    async with FaultProxy(own_server.port) as proxy:
        store = await JetStreamStore.connect(proxy.url, reconnect_pause_s=0.02)
        await declare(store.client, SPEC)
        link = store._link
        for number in (1, 2, 3):
            frames = tuple(Frame("s.a", f"{number}.{part}".encode()) for part in range(number))
            append = Append("S", frames, await store.end("S"), f"append-{number}")
            proxy.refuse()
            proxy.cut()
            while not link.client.is_reconnecting:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            await link.client.write_at_once(encode_append(append, 1, "nowhere"))
            await proxy.accept()
            # The buffered block goes out as soon as the connection is back, then this one.
            assert await append_once(store, append, 5.0, link.now) == append.last
        found = [item.data async for batch in store.read("S", until=6) for item in batch]
        assert found == [b"1.0", b"2.0", b"2.1", b"3.0", b"3.1", b"3.2"]
        assert await store.end("S") == 6
        await store.close()
