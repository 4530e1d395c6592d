"""The port to a ledger, on the devnet as a process; and how bad answers are sorted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

import httpx
import pytest
from stellar_sdk import Keypair, StrKey, Transaction, TransactionEnvelope, xdr

from libs.stellar import client
from libs.stellar.anchoring import AnchorEnvelope, build_anchor_envelope
from libs.stellar.encoding import NotCanonical
from libs.stellar.errors import (
    AccountMissing,
    EvidenceMissing,
    ResultCodes,
    StellarUnavailable,
    TransactionRefused,
    UnexpectedAnswer,
)
from libs.stellar.evidence import verify_anchor_evidence
from libs.stellar.gateway import (
    Confirmed,
    HorizonGateway,
    LedgerGateway,
    Submission,
    Unknown,
)
from tests import devnet_process
from tests.devnet.world import NOBODY, PASSPHRASE, key, pay

LATEST = 4_000_000_000
MEMO = b"\x5a" * 32


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    devnet = devnet_process.start(tmp_path_factory.mktemp("devnet"))
    yield devnet.url
    devnet.stop()


@pytest.fixture
async def gateway(url: str) -> AsyncIterator[HorizonGateway]:
    async with HorizonGateway(url, network_passphrase=PASSPHRASE) as opened:
        yield opened


@pytest.fixture
async def account(url: str, request: pytest.FixtureRequest) -> Keypair:
    """Give an account with coins, another one for each test."""
    made = key(request.node.name)
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{url}/friendbot", params={"addr": made.public_key})
    assert answer.status_code == 200
    return made


async def anchor(gateway: LedgerGateway, account: Keypair, ahead: int = 1) -> AnchorEnvelope:
    return build_anchor_envelope(
        source_seed=account.secret,
        sequence=await gateway.account_sequence(account.public_key) + ahead,
        memo_hash=MEMO,
        max_time_unix=LATEST,
        network_passphrase=PASSPHRASE,
        fee_stroops=10_000,
    )


async def test_an_anchor_is_built_sent_confirmed_and_proven(
    gateway: HorizonGateway, account: Keypair
) -> None:
    built = await anchor(gateway, account)
    assert await gateway.status(built.tx_hash) == Unknown(built.tx_hash)
    sent = await gateway.submit(built.envelope_xdr)
    status = await gateway.status(built.tx_hash)
    assert isinstance(status, Confirmed)
    assert status.successful
    assert sent == Submission(built.tx_hash, status.ledger)
    assert xdr.TransactionResult.from_xdr(status.result_xdr).fee_charged.int64 == 100
    evidence = await gateway.evidence(built.tx_hash)
    proven = verify_anchor_evidence(
        memo_hash=MEMO,
        envelope_xdr=evidence.envelope_xdr,
        result_set_xdr=evidence.result_set_xdr,
        header_xdr=evidence.header_xdr,
        network_passphrase=evidence.network_passphrase,
        anchor_account=account.public_key,
    )
    assert proven.ledger == evidence.ledger == status.ledger
    assert proven.closed_at_unix == status.closed_at_unix
    assert proven.tx_hash == built.tx_hash


async def test_the_same_bytes_again_are_the_same_submission(
    gateway: HorizonGateway, account: Keypair
) -> None:
    built = await anchor(gateway, account)
    first = await gateway.submit(built.envelope_xdr)
    assert await gateway.submit(built.envelope_xdr) == first


async def test_a_refusal_carries_codes_and_result(
    gateway: HorizonGateway, account: Keypair
) -> None:
    built = await anchor(gateway, account, ahead=2)
    with pytest.raises(TransactionRefused, match="tx_bad_seq") as caught:
        await gateway.submit(built.envelope_xdr)
    assert caught.value.result_codes == ResultCodes("tx_bad_seq")
    assert caught.value.result_xdr is not None
    result = xdr.TransactionResult.from_xdr(caught.value.result_xdr)
    assert result.result.code is xdr.TransactionResultCode.txBAD_SEQ
    assert await gateway.status(built.tx_hash) == Unknown(built.tx_hash)


async def test_a_failed_transaction_is_refused_and_confirmed(
    gateway: HorizonGateway, account: Keypair
) -> None:
    sequence = await gateway.account_sequence(account.public_key)
    transaction = Transaction(account, sequence + 1, 100, [pay(NOBODY)])
    envelope = TransactionEnvelope(transaction, PASSPHRASE)
    envelope.sign(account)
    with pytest.raises(TransactionRefused) as caught:
        await gateway.submit(envelope.to_xdr())
    assert caught.value.result_codes == ResultCodes("tx_failed", ("op_no_destination",))
    status = await gateway.status(envelope.hash_hex())
    assert isinstance(status, Confirmed)
    assert not status.successful
    assert status.result_xdr == caught.value.result_xdr
    assert await gateway.account_sequence(account.public_key) == sequence + 1


async def test_what_is_missing_has_its_own_error(gateway: HorizonGateway) -> None:
    with pytest.raises(AccountMissing) as caught:
        await gateway.account_sequence(NOBODY.public_key)
    assert caught.value.address == NOBODY.public_key
    with pytest.raises(EvidenceMissing) as missing:
        await gateway.evidence("0" * 64)
    assert missing.value.tx_hash == "0" * 64


async def test_the_latest_ledger_and_the_fees_are_known(
    gateway: HorizonGateway, account: Keypair
) -> None:
    before = await gateway.latest_ledger()
    await gateway.submit((await anchor(gateway, account)).envelope_xdr)
    after = await gateway.latest_ledger()
    assert after.sequence == before.sequence + 1
    assert after.closed_at_unix > before.closed_at_unix
    assert await gateway.fees() == (100, 100, 100)


async def test_another_network_is_noticed(url: str, account: Keypair) -> None:
    async with HorizonGateway(url, network_passphrase=PASSPHRASE) as right:
        await right.check_network()
        built = await anchor(right, account)
        await right.submit(built.envelope_xdr)
    async with HorizonGateway(f"{url}/", network_passphrase="Another Network") as wrong:
        with pytest.raises(UnexpectedAnswer, match="another network"):
            await wrong.check_network()
        with pytest.raises(UnexpectedAnswer, match="another network"):
            await wrong.evidence(built.tx_hash)


async def test_what_is_no_envelope_is_not_even_sent(gateway: HorizonGateway) -> None:
    with pytest.raises(NotCanonical):
        await gateway.submit("nonsense")


async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    del url
    async with HorizonGateway("http://127.0.0.1:9", network_passphrase=PASSPHRASE) as gateway:
        for call in _calls(gateway):
            with pytest.raises(StellarUnavailable):
                await call()


ADDRESS = StrKey.encode_ed25519_public_key(bytes(32))
PREFIX = "https://stellar.org/horizon-errors/"


def _calls(gateway: HorizonGateway) -> list[Callable[[], Any]]:
    envelope = build_anchor_envelope(
        source_seed=NOBODY.secret,
        sequence=1,
        memo_hash=MEMO,
        max_time_unix=LATEST,
        network_passphrase=PASSPHRASE,
        fee_stroops=100,
    )
    return [
        lambda: gateway.account_sequence(ADDRESS),
        lambda: gateway.submit(envelope.envelope_xdr),
        lambda: gateway.status(envelope.tx_hash),
        lambda: gateway.evidence(envelope.tx_hash),
        gateway.latest_ledger,
        gateway.fees,
        gateway.check_network,
    ]


class Canned:
    """A server that gives one answer to everybody and counts how often it was asked."""

    def __init__(self, status: int, body: bytes, *, pause_s: float = 0) -> None:
        self._head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        self._body = body
        self._pause_s = pause_s
        self.asked = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            writer.write(self._head)
            for index in range(len(self._body)):
                writer.write(self._body[index : index + 1] if self._pause_s else self._body)
                await writer.drain()
                await asyncio.sleep(self._pause_s)
                if not self._pause_s:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, f'{{"type": "{PREFIX}rate_limit_exceeded"}}'),
        (408, ""),
        (500, "<html>"),
        (500, "[]"),
        (502, "<html>"),
        (503, f'{{"type": "{PREFIX}stale_history", "status": 503}}'),
        (504, f'{{"type": "{PREFIX}transaction_submission_timeout", "extras": {{"hash": "00"}}}}'),
    ],
)
async def test_patience_is_asked_for_in_many_ways_and_nothing_is_retried(
    status: int, body: str
) -> None:
    async with (
        Canned(status, body.encode()) as server,
        HorizonGateway(server.url, network_passphrase=PASSPHRASE) as gateway,
    ):
        for count, call in enumerate(_calls(gateway), start=1):
            with pytest.raises(StellarUnavailable):
                await call()
            assert server.asked == count


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>"),
        (200, "{}"),
        (200, "[]"),
        (200, "null"),
        (200, '{"_embedded": {"records": []}}'),
        (301, ""),
        (400, "<html>"),
        (400, "[]"),
        (400, '{"type": 5}'),
        (400, f'{{"type": "{PREFIX}transaction_failed", "extras": {{}}}}'),
        (400, f'{{"type": "{PREFIX}transaction_failed", "extras": null}}'),
        (400, f'{{"type": "{PREFIX}bad_request", "extras": {{"invalid_field": "x"}}}}'),
        (403, "no"),
        (201, "{}"),
    ],
)
async def test_answers_that_make_no_sense_are_unexpected(status: int, body: str) -> None:
    async with (
        Canned(status, body.encode()) as server,
        HorizonGateway(server.url, network_passphrase=PASSPHRASE) as gateway,
    ):
        for call in _calls(gateway):
            with pytest.raises(UnexpectedAnswer):
                await call()


async def test_a_submission_to_a_server_without_that_path_is_unexpected() -> None:
    async with (
        Canned(404, b"{}") as server,
        HorizonGateway(server.url, network_passphrase=PASSPHRASE) as gateway,
    ):
        with pytest.raises(UnexpectedAnswer):
            await _calls(gateway)[1]()


async def test_an_envelope_that_the_server_cannot_decode_is_refused() -> None:
    body = f'{{"type": "{PREFIX}transaction_malformed", "extras": {{"envelope_xdr": ""}}}}'
    async with (
        Canned(400, body.encode()) as server,
        HorizonGateway(server.url, network_passphrase=PASSPHRASE) as gateway,
    ):
        with pytest.raises(TransactionRefused) as caught:
            await _calls(gateway)[1]()
    assert caught.value.result_codes == ResultCodes("transaction_malformed")
    assert caught.value.result_xdr is None


async def test_an_answer_about_another_transaction_is_unexpected() -> None:
    body = (
        '{"hash": "00", "ledger": 5, "successful": true, "result_xdr": "AAAA",'
        ' "created_at": "2027-01-15T08:00:00Z"}'
    )
    async with (
        Canned(200, body.encode()) as server,
        HorizonGateway(server.url, network_passphrase=PASSPHRASE) as gateway,
    ):
        for call in _calls(gateway)[1:3]:
            with pytest.raises(UnexpectedAnswer, match="another transaction"):
                await call()


async def test_an_answer_that_drips_ends_at_the_deadline() -> None:
    async with (
        Canned(200, b" " * 1_000, pause_s=0.02) as server,
        HorizonGateway(
            server.url, network_passphrase=PASSPHRASE, get_timeout_s=0.15, post_timeout_s=0.15
        ) as gateway,
    ):
        for call in _calls(gateway)[:2]:
            with pytest.raises(StellarUnavailable):
                await call()


async def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_SIZE_MAX", 100)
    async with (
        Canned(200, b" " * 101) as server,
        HorizonGateway(server.url, network_passphrase=PASSPHRASE) as gateway,
    ):
        for call in _calls(gateway)[:2]:
            with pytest.raises(UnexpectedAnswer):
                await call()


async def test_the_client_does_not_stream() -> None:
    http = client.HttpxClient()
    with pytest.raises(NotImplementedError):
        http.stream("http://127.0.0.1:9")
    await http.close()
