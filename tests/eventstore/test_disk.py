"""A full server and a full disk: a clear error, nothing lost, and going on once there is room.

nats-server tears a batch in the middle when its storage ends there, and completes it at its next
start. The store must say so, and must let nobody append behind the part.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.eventstore import (
    Frame,
    JetStreamStore,
    StoreFull,
    StoreUnavailable,
    StreamSpec,
    TornAppend,
    declare,
)
from tests.eventstore.worlds import FAST
from tests.servers import NatsServer

S = "LEDGER_1"
SPEC = StreamSpec(name=S, subjects=("ledger.1.>",), deny_purge=False)
OTHER = StreamSpec(name="OTHER", subjects=("other.>",), deny_purge=False)
APPENDS_MAX = 10_000


def frames(first: int, count: int) -> list[Frame]:
    return [Frame("ledger.1.a", f"{first + n}:".encode().ljust(900, b".")) for n in range(count)]


async def connect(server: NatsServer) -> JetStreamStore:
    return await JetStreamStore.connect(server.url, **(FAST | {"deadline_s": 2.0}))


async def fill(store: JetStreamStore, count: int) -> int:
    """Append until it fails, and give the last acknowledged position."""
    end = await store.end(S)
    for _ in range(APPENDS_MAX):
        try:
            end = await store.append(S, frames(end + 1, count), expected=end)
        except (StoreFull, StoreUnavailable) as error:
            error.args = (*error.args, end)
            raise
    raise AssertionError("never full")


async def assert_whole(store: JetStreamStore, end: int) -> None:
    found = [item async for batch in store.read(S, until=end) for item in batch]
    assert [item.data for item in found] == [frame.data for frame in frames(1, end)]


async def test_a_server_at_its_limit_refuses_a_single_fact(tmp_path: Path) -> None:
    jetstream = "sync_interval: always, max_file_store: 2MB"
    with NatsServer(tmp_path / "nats", jetstream=jetstream) as server:
        store = await connect(server)
        await declare(store.client, SPEC)
        with pytest.raises(StoreFull) as caught:
            await fill(store, 1)
        assert caught.value.what == "storage"
        end = caught.value.args[-1]
        assert await store.end(S) == end
        await assert_whole(store, end)
        await store.close()


async def test_a_server_at_its_limit_tears_a_batch_which_nobody_may_follow(
    tmp_path: Path,
) -> None:
    small = "sync_interval: always, max_file_store: 2MB"
    server = NatsServer(tmp_path / "nats", jetstream=small)
    with server:
        store = await connect(server)
        await declare(store.client, SPEC)
        await declare(store.client, OTHER)
        await store.append("OTHER", [Frame("other.x", b"x" * 900)] * 500, expected=0)
        with pytest.raises(TornAppend) as caught:
            await fill(store, 50)
        end = caught.value.args[-1]
        part = await store.end(S)
        assert end < part < end + 50
        # Room comes back without a restart: nobody may append behind the part, this writer or new.
        await store.client.request("$JS.API.STREAM.PURGE.OTHER", b"")
        fresh = await connect(server)
        for writer in (store, fresh):
            with pytest.raises(TornAppend) as caught:
                await writer.append(S, frames(part + 1, 1), expected=part)
            assert caught.value.position == part
        # The next start of the server completes the append.
        server.kill()
        server.start()
        assert await fresh.end(S) == end + 50
        assert await fresh.append(S, frames(end + 51, 50), expected=end + 50) == end + 100
        await assert_whole(store, end + 100)
        await fresh.close()
        await store.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB of its own; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a disk of its own can only be mounted by root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)


@pytest.mark.parametrize("count", [1, 50])
async def test_a_full_disk_loses_nothing_and_goes_on_once_it_has_grown(
    tmp_path: Path, tiny_disk: Path, count: int
) -> None:
    jetstream = "sync_interval: always, max_file_store: 1GB"
    with NatsServer(tmp_path / "nats", jetstream=jetstream, store=tiny_disk) as server:
        store = await connect(server)
        await declare(store.client, SPEC)
        # The server does not answer at all, so the outcome is unknown.
        with pytest.raises(StoreUnavailable) as caught:
            await fill(store, count)
        end = caught.value.args[-1]
        grow(tiny_disk)
        server.kill()
        server.start()
        now = await store.end(S)
        assert now in (end, end + count)
        assert await store.append(S, frames(now + 1, count), expected=now) == now + count
        await assert_whole(store, now + count)
        await store.close()
