"""The devnet as a process: start, stop, kill -9 in the middle of work, and what is left then."""

import asyncio
import random
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from stellar_sdk import Keypair, Transaction, TransactionEnvelope

from devnet.protocol import Network
from devnet.store import Store, StoredLedger, StoreUnusable
from libs.stellar.evidence import verify_header_chain
from tests import devnet_process
from tests.devnet.world import ANNA, PASSPHRASE, START, key, pay
from tests.devnet_process import DevnetProcess

PEOPLE = [key(f"person {n}") for n in range(4)]


async def fund(http: httpx.AsyncClient, *people: Keypair) -> None:
    for each in people:
        answer = await http.get("/friendbot", params={"addr": each.public_key})
        assert answer.status_code in {200, 400}, answer.text


async def sequence(http: httpx.AsyncClient, account: Keypair) -> int:
    return int((await http.get(f"/accounts/{account.public_key}")).json()["sequence"])


def signed(source: Keypair, number: int) -> TransactionEnvelope:
    envelope = TransactionEnvelope(Transaction(source, number, 100, [pay(source)]), PASSPHRASE)
    envelope.sign(source)
    return envelope


async def headers(http: httpx.AsyncClient) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        params = {"limit": "200", "cursor": cursor}
        page = (await http.get("/ledgers", params=params)).json()["_embedded"]["records"]
        if not page:
            return found
        found += [each["header_xdr"] for each in page]
        cursor = page[-1]["paging_token"]


async def keep_paying(
    http: httpx.AsyncClient, source: Keypair, number: int, answered: dict[str, tuple[str, str]]
) -> None:
    """Send payments until the devnet is gone; note each answer, beside the bytes sent."""
    try:
        while True:
            number += 1
            envelope = signed(source, number)
            answer = await http.post("/transactions", data={"tx": envelope.to_xdr()})
            assert answer.status_code == 200, answer.text
            answered[envelope.hash_hex()] = (envelope.to_xdr(), answer.text)
    except httpx.TransportError:
        return


def client(devnet: DevnetProcess) -> httpx.AsyncClient:
    # One address for all lives of a devnet, so that links in its answers stay the same.
    return httpx.AsyncClient(base_url=devnet.url, timeout=10, headers={"host": "devnet"})


async def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    answered: dict[str, tuple[str, str]] = {}
    chain: list[str] = []
    chance = random.Random(2026)
    for _ in range(3):
        devnet = devnet_process.start(tmp_path)
        async with client(devnet) as http:
            assert (await headers(http))[: len(chain)] == chain
            for tx_hash, (sent, text) in list(answered.items())[-25:]:
                assert (await http.get(f"/transactions/{tx_hash}")).text == text
                assert (await http.post("/transactions", data={"tx": sent})).text == text
            await fund(http, *PEOPLE)
            numbers = [await sequence(http, each) for each in PEOPLE]
            before = len(answered)
            chain = await headers(http)
            paying = [
                asyncio.create_task(keep_paying(http, each, number, answered))
                for each, number in zip(PEOPLE, numbers, strict=True)
            ]
            await asyncio.sleep(chance.uniform(0.1, 0.3))
            devnet.kill()
            await asyncio.gather(*paying)
            assert len(answered) > before
    store = Store.open(tmp_path, Network.from_passphrase(PASSPHRASE))
    kept = [each.closed.header.to_xdr() for each in _all_ledgers(store)]
    assert all(store.transaction(bytes.fromhex(tx_hash)) for tx_hash in answered)
    accounts = store.accounts()
    fees = store.last().header.fee_pool.int64
    store.close()
    assert verify_header_chain(kept).last_ledger == len(kept)
    assert sum(account.balance for account in accounts.values()) + fees == 10**18


async def test_it_ends_at_once_and_cleanly_when_asked(tmp_path: Path) -> None:
    devnet = devnet_process.start(tmp_path)
    async with client(devnet) as http:  # its connection stays open meanwhile
        await fund(http, ANNA)
        asked = time.monotonic()
        status, rest = devnet.stop()
        assert time.monotonic() - asked < devnet_process.STOP_S
    assert (status, rest) == (0, "")
    assert devnet.first_line.startswith("devnet.started url=http://127.0.0.1:")
    assert devnet.first_line.rstrip().endswith("played=False ledger=1")


async def test_a_played_devnet_keeps_its_time_over_a_restart(tmp_path: Path) -> None:
    devnet = devnet_process.start(tmp_path, played=True)
    async with client(devnet) as http:
        answer = await http.post("/admin/time", json={"closed_at": START})
        assert answer.status_code == 200
    devnet.kill()
    devnet = devnet_process.start(tmp_path, played=True)
    async with client(devnet) as http:
        assert (await http.post("/admin/time", json={"closed_at": 5})).status_code == 409
        await fund(http, ANNA)
        root = (await http.get("/")).json()
    assert root["history_latest_ledger_closed_at"] == "2027-01-15T08:00:00Z"
    assert devnet.stop() == (0, "")


def test_a_second_one_in_the_same_folder_says_why_it_does_not_start(tmp_path: Path) -> None:
    store = Store.open(tmp_path, Network.from_passphrase(PASSPHRASE))
    with pytest.raises(AssertionError, match=r"devnet: Cannot use the data folder: .*locked"):
        devnet_process.start(tmp_path)
    store.close()


def test_a_folder_belongs_to_one_network_and_one_version(tmp_path: Path) -> None:
    Store.open(tmp_path, Network.from_passphrase(PASSPHRASE)).close()
    with pytest.raises(StoreUnusable, match="another passphrase"):
        Store.open(tmp_path, Network.from_passphrase("Another Network"))
    store = Store.open(tmp_path, Network.from_passphrase(PASSPHRASE))
    store._connection.execute("PRAGMA user_version = 9")
    store.close()
    with pytest.raises(StoreUnusable, match="version 9"):
        Store.open(tmp_path, Network.from_passphrase(PASSPHRASE))


def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "devnet.sqlite3"
    file.write_bytes(b"something else entirely, and long enough to be looked at" * 20)
    before = file.read_bytes()
    with pytest.raises(StoreUnusable):
        Store.open(tmp_path, Network.from_passphrase(PASSPHRASE))
    assert file.read_bytes() == before


def test_a_start_that_was_cut_short_begins_again(tmp_path: Path) -> None:
    network = Network.from_passphrase(PASSPHRASE)
    store = Store.open(tmp_path, network)
    store._connection.execute("DELETE FROM ledgers")
    store._connection.execute("DELETE FROM meta")
    store.close()
    store = Store.open(tmp_path, network)
    assert store.last().sequence == 1
    store.close()


@pytest.mark.parametrize("passphrase", ["", "x" * 257])
def test_a_network_has_a_passphrase_of_1_to_256_characters(passphrase: str) -> None:
    with pytest.raises(ValueError, match="passphrase"):
        Network.from_passphrase(passphrase)


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    devnet = devnet_process.start(tmp_path / "one")
    port = devnet.url.rsplit(":", 1)[1]
    command = devnet_process.command()
    finished = subprocess.run(
        command,
        env=devnet_process.environment(tmp_path / "two", port=port),
        cwd=devnet_process.ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    devnet.kill()
    assert finished.returncode == 1
    assert finished.stderr.startswith("devnet: ")
    assert "in use" in finished.stderr


def test_small_answers_are_sent_at_once(tmp_path: Path) -> None:
    """Without TCP named on the listener each answer waits 40 ms, and 20 of them 0.8 s."""
    devnet = devnet_process.start(tmp_path)
    with httpx.Client(base_url=devnet.url) as http:
        http.get("/")
        begun = time.monotonic()
        for _ in range(20):
            http.get("/")
        took = time.monotonic() - begun
    devnet.kill()
    assert took < 0.6


def _all_ledgers(store: Store) -> list[StoredLedger]:
    found = store.ledgers(after=None, limit=200, descending=False)
    while page := store.ledgers(after=found[-1].closed.sequence, limit=200, descending=False):
        found += page
    return found
