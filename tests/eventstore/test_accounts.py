"""Each stream in an account of its own, services with exactly what was granted to them.

As in production: the vault of the stream, a writer that imports its subject, a reader that imports
the six API subjects only, and a stranger.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.eventstore import (
    EventStoreError,
    Fenced,
    Frame,
    JetStreamStore,
    NotPermitted,
    Stored,
    StoreUnavailable,
    StreamSpec,
    declare,
)
from tests.eventstore.worlds import FAST
from tests.servers import NatsServer

S = "LEDGER_1"
SPEC = StreamSpec(name=S, subjects=("ledger.1.>",))
API = {
    f"STREAM.INFO.{S}": "",
    f"STREAM.MSG.GET.{S}": "",
    f"CONSUMER.CREATE.{S}.>": "",
    f"CONSUMER.DELETE.{S}.>": "",
    f"CONSUMER.MSG.NEXT.{S}.>": "response_type: stream, ",
    f"DIRECT.GET.{S}": "response_type: stream, ",
}


def config() -> str:
    exports = ['{service: "ledger.1.>", accounts: [WRITER]}']
    imports = []
    for name, kind in API.items():
        exports.append(f'{{service: "$JS.API.{name}", {kind}accounts: [WRITER, READER, HALF]}}')
        imports.append(
            f'{{service: {{account: VAULT, subject: "$JS.API.{name}"}}, to: "FACTS.API.{name}"}}'
        )
    write = '{service: {account: VAULT, subject: "ledger.1.>"}}'
    return f"""
        max_payload: 1MB
        accounts {{
          VAULT {{
            jetstream: enabled
            users: [{{user: boot, password: boot}}]
            exports: [{", ".join(exports)}]
          }}
          WRITER {{
            users: [
              {{user: writer, password: writer}}
              {{user: narrow, password: narrow,
                permissions: {{publish: ["ledger.1.a.>", "FACTS.API.>"], subscribe: ["_INBOX.>"]}}}}
              {{user: unhelped, password: unhelped,
                permissions: {{publish: ["FACTS.API.STREAM.>", "FACTS.API.CONSUMER.CREATE.>"]}}}}
              {{user: deaf, password: deaf, permissions: {{subscribe: ["_OTHER.>"]}}}}
            ]
            imports: [{", ".join([write, *imports])}]
          }}
          READER {{
            users: [{{user: reader, password: reader}}]
            imports: [{", ".join(imports)}]
          }}
          HALF {{
            users: [{{user: half, password: half}}]
            imports: [{", ".join(one for one in imports if "MSG.NEXT" not in one)}]
          }}
          STRANGER {{ users: [{{user: stranger, password: stranger}}] }}
        }}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    folder: Path = tmp_path_factory.mktemp("accounts")
    with NatsServer(folder, config()) as made:
        yield made


class Town:
    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.stores: list[JetStreamStore] = []

    async def enter(self, user: str, prefix: str = "FACTS.API") -> JetStreamStore:
        store = await JetStreamStore.connect(
            self.server.url, user, user, user, api_prefix=prefix, **FAST
        )
        self.stores.append(store)
        return store


@pytest.fixture
async def town(server: NatsServer) -> AsyncIterator[Town]:
    made = Town(server)
    boot = await made.enter("boot", "$JS.API")
    await declare(boot.client, SPEC)
    yield made
    for store in made.stores:
        await store.close()


async def test_reading_and_writing_work_across_accounts(town: Town) -> None:
    writer, reader = await town.enter("writer"), await town.enter("reader")
    end = await writer.end(S)
    tail = reader.read(S, after=end)
    for count in (1, 2, 1000):
        frames = [Frame(f"ledger.1.a.k{n}", str(n).encode()) for n in range(count)]
        assert await writer.append(S, frames, expected=end) == end + count
        with pytest.raises(Fenced):
            await writer.append(S, frames, expected=end)
        seen: list[Stored] = []
        while len(seen) < count:
            seen += await anext(tail)
        assert [item.data for item in seen] == [frame.data for frame in frames]
        assert [item.subject for item in seen] == [frame.subject for frame in frames]
        end += count
    await tail.aclose()
    newest = await reader.last(S, "ledger.1.a.k999")
    assert newest is not None
    assert newest.sequence == end
    heads = [item async for batch in reader.last_each(S, "ledger.1.>") for item in batch]
    assert len(heads) == 1000
    picked = [
        item async for batch in reader.read(S, until=end, subject="ledger.1.a.k7") for item in batch
    ]
    assert [item.data for item in picked][-1] == b"7"


async def test_a_reader_cannot_append(town: Town) -> None:
    reader = await town.enter("reader")
    end = await reader.end(S)
    for count in (1, 3):
        with pytest.raises(NotPermitted, match=r"ledger\.1\.a"):
            await reader.append(S, [Frame("ledger.1.a", b"evil")] * count, expected=end)
    assert await reader.end(S) == end


async def test_a_forbidden_subject_is_told_at_once(town: Town) -> None:
    narrow = await town.enter("narrow")
    end = await narrow.end(S)
    async with asyncio.timeout(1):
        with pytest.raises(NotPermitted, match=r"ledger\.1\.b"):
            await narrow.append(S, [Frame("ledger.1.b.x", b"1")], expected=end)
        mixed = [Frame("ledger.1.a.x", b"1"), Frame("ledger.1.B.x", b"2")]
        with pytest.raises(NotPermitted, match=r"ledger\.1\.B"):
            await narrow.append(S, [*mixed, mixed[0]], expected=end)
    assert await narrow.end(S) == end
    assert await narrow.append(S, [Frame("ledger.1.a.x", b"1")], expected=end) == end + 1


async def test_a_stranger_reaches_nothing(town: Town) -> None:
    for prefix in ("FACTS.API", "$JS.API"):
        stranger = await town.enter("stranger", prefix)
        with pytest.raises(EventStoreError) as caught:
            await stranger.end(S)
        assert isinstance(caught.value, NotPermitted | StoreUnavailable)
        with pytest.raises(EventStoreError):
            await anext(stranger.read(S))


@pytest.mark.parametrize("user", ["half", "unhelped"])
async def test_a_reader_that_may_not_ask_for_messages_is_told(town: Town, user: str) -> None:
    writer, reader = await town.enter("writer"), await town.enter(user)
    end = await writer.end(S)
    await writer.append(S, [Frame("ledger.1.a.x", b"1")], expected=end)
    async with asyncio.timeout(3):
        with pytest.raises(NotPermitted, match=r"MSG\.NEXT"):
            await anext(reader.read(S))
        with pytest.raises(NotPermitted, match=r"MSG\.NEXT"):
            await anext(reader.last_each(S, "ledger.1.>"))


async def test_a_connection_that_may_not_listen_is_told(town: Town) -> None:
    with pytest.raises(NotPermitted, match="subscription"):
        await (await town.enter("deaf")).end(S)


async def test_a_wrong_password_is_told_at_once(server: NatsServer) -> None:
    async with asyncio.timeout(2):
        with pytest.raises(NotPermitted, match=r"(?i)authorization"):
            await JetStreamStore.connect(server.url, "writer", "wrong")


async def test_nobody_at_the_address_is_told(server: NatsServer) -> None:
    with pytest.raises(StoreUnavailable, match="no connection"):
        await JetStreamStore.connect("nats://127.0.0.1:1", connect_timeout_s=0.3)


async def test_a_connection_that_the_server_closes_for_good_is_told(town: Town) -> None:
    reasons: list[str] = []
    store = await JetStreamStore.connect(
        town.server.url,
        "writer",
        "writer",
        api_prefix="FACTS.API",
        on_closed=reasons.append,
        **FAST,
    )
    tail = store.read(S, after=await store.end(S))
    waiting = asyncio.ensure_future(anext(tail))
    await asyncio.sleep(0.1)
    # More than max_payload: what the store itself refuses to send.
    await store._link.client.write_at_once(
        b"PUB ledger.1.a 2000000\r\n" + b"x" * 2_000_000 + b"\r\n"
    )
    async with asyncio.timeout(3):
        with pytest.raises(StoreUnavailable, match=r"(?i)closed for good.*maximum payload"):
            await waiting
        with pytest.raises(StoreUnavailable, match=r"(?i)closed for good"):
            await store.append(S, [Frame("ledger.1.a.x", b"1")], expected=0)
    assert len(reasons) == 1
    assert "maximum payload" in reasons[0].lower()
    await store.close()
