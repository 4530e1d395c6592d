"""The Python SDK's asynchronous server over our HTTP client, as a foreign client of the devnet."""

from collections.abc import Iterator

import httpx
import pytest
from stellar_sdk import Asset, Keypair, TransactionBuilder
from stellar_sdk import exceptions as sdk
from stellar_sdk.server_async import ServerAsync

from libs.stellar.client import HttpxClient
from tests import devnet_process
from tests.devnet.world import ANNA, NOBODY, PASSPHRASE


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    devnet = devnet_process.start(tmp_path_factory.mktemp("devnet"))
    httpx.get(f"{devnet.url}/friendbot", params={"addr": ANNA.public_key}).raise_for_status()
    yield devnet.url
    devnet.stop()


async def payment(server: ServerAsync, source: Keypair, skip: int = 0) -> TransactionBuilder:
    account = await server.load_account(source.public_key)
    account.sequence += skip
    builder = TransactionBuilder(account, PASSPHRASE, base_fee=await server.fetch_base_fee())
    return builder.append_payment_op(source.public_key, Asset.native(), "1").set_timeout(60)


async def test_it_loads_submits_and_reads_back(url: str) -> None:
    async with ServerAsync(url, HttpxClient()) as server:
        assert (await server.root().call())["network_passphrase"] == PASSPHRASE
        envelope = (await payment(server, ANNA)).add_text_memo("Sun").build()
        envelope.sign(ANNA)
        sent = await server.submit_transaction(envelope)
        assert sent["successful"] is True
        assert sent == await server.transactions().transaction(envelope.hash_hex()).call()
        page = await server.transactions().for_ledger(sent["ledger"]).call()
        assert page["_embedded"]["records"] == [sent]
        ledgers = server.ledgers().order(desc=True).limit(1)
        first = (await ledgers.call())["_embedded"]["records"][0]["sequence"]
        assert (await ledgers.next())["_embedded"]["records"][0]["sequence"] == first - 1
        assert (await server.fee_stats().call())["last_ledger_base_fee"] == "100"


async def test_it_understands_our_errors(url: str) -> None:
    async with ServerAsync(url, HttpxClient()) as server:
        with pytest.raises(sdk.NotFoundError) as missing:
            await server.load_account(NOBODY.public_key)
        assert missing.value.title == "Resource Missing"
        envelope = (await payment(server, ANNA, skip=5)).add_text_memo("Sun").build()
        envelope.sign(ANNA)
        with pytest.raises(sdk.BadRequestError) as refused:
            await server.submit_transaction(envelope)
        assert refused.value.extras is not None
        assert refused.value.extras["result_codes"] == {"transaction": "tx_bad_seq"}
