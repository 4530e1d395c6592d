"""The HTTP face: Horizon's shapes, its errors, and what is only the devnet's own."""

import asyncio
import base64
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from stellar_sdk import (
    Asset,
    HashMemo,
    IdMemo,
    Keypair,
    Memo,
    NoneMemo,
    Payment,
    ReturnHashMemo,
    TextMemo,
    TimeBounds,
    Transaction,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.preconditions import Preconditions
from stellar_sdk.sep.toid import TOID

from devnet import horizon, node
from libs.stellar.evidence import verify_anchor_evidence, verify_header_chain
from tests.devnet.conftest import Local
from tests.devnet.world import ANNA, BERT, NOBODY, PASSPHRASE, START, pay

PROBLEMS = "https://stellar.org/horizon-errors/"


async def fund(local: Local, *people: Keypair) -> None:
    for each in people:
        answer = await local.http.get("/friendbot", params={"addr": each.public_key})
        assert answer.status_code == 200, answer.text


async def envelope(
    local: Local,
    source: Keypair,
    operation: Payment,
    *,
    memo: Memo | None = None,
    ahead: int = 1,
    latest: int = 0,
) -> TransactionEnvelope:
    account = (await local.http.get(f"/accounts/{source.public_key}")).json()
    conditions = Preconditions(time_bounds=TimeBounds(0, latest)) if latest else None
    transaction = Transaction(
        source, int(account["sequence"]) + ahead, 100, [operation], memo, conditions
    )
    signed = TransactionEnvelope(transaction, PASSPHRASE)
    signed.sign(source)
    return signed


async def post(local: Local, sent: TransactionEnvelope | str) -> httpx.Response:
    text = sent if isinstance(sent, str) else sent.to_xdr()
    return await local.http.post("/transactions", data={"tx": text})


def problem(answer: httpx.Response, status: int, kind: str, title: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json; charset=utf-8"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["title"], body["status"]) == (PROBLEMS + kind, title, status)
    assert body["detail"]
    extras: dict[str, Any] = body.get("extras", {})
    return extras


async def test_the_root_tells_which_network_this_is(local: Local) -> None:
    answer = await local.http.get("/")
    assert answer.headers["content-type"] == "application/hal+json; charset=utf-8"
    root = answer.json()
    assert root["network_passphrase"] == PASSPHRASE
    assert root["history_latest_ledger"] == root["core_latest_ledger"] == 1
    assert "stellar" not in root["horizon_version"] + root["core_version"]


async def test_friendbot_gives_ten_thousand_coins_once(local: Local) -> None:
    answer = await local.http.post("/friendbot", params={"addr": ANNA.public_key})
    assert answer.json()["successful"] is True
    account = (await local.http.get(f"/accounts/{ANNA.public_key}")).json()
    assert account["balances"][0]["balance"] == "10000.0000000"
    assert account["sequence"] == str(2 << 32)
    again = await local.http.get("/friendbot", params={"addr": ANNA.public_key})
    extras = problem(again, 400, "transaction_failed", "Transaction Failed")
    assert extras["result_codes"]["operations"] == ["op_already_exists"]


async def test_friendbot_takes_a_form_and_refuses_what_is_no_address(local: Local) -> None:
    answer = await local.http.post("/friendbot", data={"addr": BERT.public_key})
    assert answer.status_code == 200
    for address in ("", "G", ANNA.secret, ANNA.public_key[:-1] + "A"):
        wrong = await local.http.get("/friendbot", params={"addr": address})
        assert problem(wrong, 400, "bad_request", "Bad Request")["invalid_field"] == "addr"


async def test_friendbot_serves_many_at_once(local: Local) -> None:
    people = [Keypair.from_raw_ed25519_seed(bytes([n]) * 32) for n in range(12)]
    asked: list[Awaitable[httpx.Response]] = [
        local.http.get("/friendbot", params={"addr": each.public_key}) for each in people
    ]
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}


async def test_an_account_has_the_fields_that_clients_need(local: Local) -> None:
    await fund(local, ANNA)
    await post(local, await envelope(local, ANNA, pay(ANNA)))
    account = (await local.http.get(f"/accounts/{ANNA.public_key}")).json()
    assert account["account_id"] == account["id"] == ANNA.public_key
    assert account["thresholds"] == {"low_threshold": 0, "med_threshold": 0, "high_threshold": 0}
    expected = {"weight": 1, "key": ANNA.public_key, "type": "ed25519_public_key"}
    assert account["signers"] == [expected]
    assert account["data"] == {}
    assert account["sequence_ledger"] == account["last_modified_ledger"] == 3
    assert account["sequence_time"] == str(START + 1)
    assert account["balances"][0]["asset_type"] == "native"


async def test_what_does_not_exist_is_missing(local: Local) -> None:
    paths = [
        f"/accounts/{NOBODY.public_key}",
        f"/transactions/{'0' * 64}",
        f"/evidence/{'0' * 64}",
        "/ledgers/99",
        "/ledgers/0",
        "/ledgers/99/transactions",
        "/nothing",
        "/admin/time",
    ]
    for path in paths:
        problem(await local.http.get(path), 404, "not_found", "Resource Missing")


async def test_parameters_that_make_no_sense_are_named(local: Local) -> None:
    cases = {
        "/accounts/G123": "account_id",
        "/transactions/xyz": "tx_id",
        f"/transactions/{'A' * 64}": "tx_id",
        "/ledgers/-1": "ledger_id",
        "/ledgers/99999999999999999999": "ledger_id",
        "/ledgers?limit=0": "limit",
        "/ledgers?limit=201": "limit",
        "/ledgers?order=up": "order",
        "/ledgers?cursor=x": "cursor",
    }
    for path, field in cases.items():
        extras = problem(await local.http.get(path), 400, "bad_request", "Bad Request")
        assert extras["invalid_field"] == field


async def test_a_submission_answers_with_the_record_that_can_be_read_later(local: Local) -> None:
    await fund(local, ANNA, BERT)
    sent = await envelope(local, ANNA, pay(BERT, "2.5"), latest=START + 300)
    answer = await post(local, sent)
    assert answer.status_code == 200
    record = answer.json()
    assert record == (await local.http.get(f"/transactions/{sent.hash_hex()}")).json()
    assert record["hash"] == record["id"] == sent.hash_hex()
    assert record["successful"] is True
    assert record["ledger"] == 4
    assert record["paging_token"] == str(TOID(4, 1, 0).to_int64())
    assert record["created_at"] == "2027-01-15T08:00:02Z"
    assert record["source_account"] == record["fee_account"] == ANNA.public_key
    assert record["source_account_sequence"] == str(sent.transaction.sequence)
    assert (record["fee_charged"], record["max_fee"]) == ("100", "100")
    assert record["operation_count"] == 1
    assert record["envelope_xdr"] == sent.to_xdr()
    assert record["signatures"] == [base64.b64encode(sent.signatures[0].signature).decode()]
    assert record["preconditions"] == {"timebounds": {"max_time": str(START + 300)}}
    result = xdr.TransactionResult.from_xdr(record["result_xdr"])
    assert result.fee_charged.int64 == 100
    changes = xdr.LedgerEntryChanges.from_xdr(record["fee_meta_xdr"]).ledger_entry_changes
    kinds = xdr.LedgerEntryChangeType
    assert [each.type for each in changes] == [
        kinds.LEDGER_ENTRY_STATE,
        kinds.LEDGER_ENTRY_UPDATED,
    ]


@pytest.mark.parametrize(
    ("memo", "fields"),
    [
        (NoneMemo(), {"memo_type": "none"}),
        (TextMemo("Sun"), {"memo_type": "text", "memo": "Sun", "memo_bytes": "U3Vu"}),
        (TextMemo(b"\xff"), {"memo_type": "text", "memo": "\ufffd", "memo_bytes": "/w=="}),
        (IdMemo(2**64 - 1), {"memo_type": "id", "memo": "18446744073709551615"}),
        (HashMemo(bytes(32)), {"memo_type": "hash", "memo": "A" * 43 + "="}),
        (ReturnHashMemo(bytes(32)), {"memo_type": "return", "memo": "A" * 43 + "="}),
    ],
)
async def test_memos_are_shown_in_horizons_ways(
    local: Local, memo: Memo, fields: dict[str, str]
) -> None:
    await fund(local, ANNA)
    record = (await post(local, await envelope(local, ANNA, pay(ANNA), memo=memo))).json()
    assert {name: value for name, value in record.items() if name.startswith("memo")} == fields


async def test_a_refusal_names_codes_and_result_and_keeps_nothing(local: Local) -> None:
    await fund(local, ANNA)
    sent = await envelope(local, ANNA, pay(ANNA), ahead=2)
    extras = problem(await post(local, sent), 400, "transaction_failed", "Transaction Failed")
    assert extras["envelope_xdr"] == sent.to_xdr()
    assert extras["result_codes"] == {"transaction": "tx_bad_seq"}
    result = xdr.TransactionResult.from_xdr(extras["result_xdr"])
    assert result.result.code is xdr.TransactionResultCode.txBAD_SEQ
    missing = await local.http.get(f"/transactions/{sent.hash_hex()}")
    problem(missing, 404, "not_found", "Resource Missing")
    assert local.node.last.sequence == 2


async def test_a_failed_transaction_is_a_problem_and_stands_in_a_ledger(local: Local) -> None:
    await fund(local, ANNA)
    sent = await envelope(local, ANNA, pay(NOBODY))
    for _ in range(2):
        extras = problem(await post(local, sent), 400, "transaction_failed", "Transaction Failed")
        assert extras["result_codes"] == {
            "transaction": "tx_failed",
            "operations": ["op_no_destination"],
        }
    record = (await local.http.get(f"/transactions/{sent.hash_hex()}")).json()
    assert record["successful"] is False
    ledger = (await local.http.get(f"/ledgers/{record['ledger']}")).json()
    assert ledger["failed_transaction_count"] == 1
    assert ledger["successful_transaction_count"] == ledger["operation_count"] == 0
    assert ledger["tx_set_operation_count"] == 1


async def test_an_operation_that_is_not_performed_is_answered_honestly(local: Local) -> None:
    await fund(local, ANNA, BERT)
    token = Payment(BERT.public_key, Asset("KWH", ANNA.public_key), "1")
    answer = await post(local, await envelope(local, ANNA, token))
    extras = problem(answer, 400, "transaction_failed", "Transaction Failed")
    assert extras["result_codes"]["operations"] == ["op_not_supported"]


async def test_the_same_bytes_again_have_the_same_answer(local: Local) -> None:
    await fund(local, ANNA)
    sent = await envelope(local, ANNA, pay(ANNA))
    together = await asyncio.gather(*(post(local, sent) for _ in range(5)))
    later = await post(local, sent)
    assert {answer.text for answer in [*together, later]} == {later.text}
    assert later.status_code == 200
    assert local.node.last.sequence == 3


async def test_transactions_that_wait_together_share_a_ledger(local: Local) -> None:
    await fund(local, ANNA, BERT)
    sent = [await envelope(local, each, pay(each)) for each in (ANNA, BERT)]
    outcomes = await asyncio.gather(*(local.node.submit(each.to_xdr()) for each in sent))
    assert local.node.last.sequence == 4
    assert len({outcome.hash for outcome in outcomes}) == 2  # type: ignore[union-attr]


async def test_another_transaction_of_a_waiting_account_has_to_wait(local: Local) -> None:
    await fund(local, ANNA)
    now = await envelope(local, ANNA, pay(ANNA))
    other = await envelope(local, ANNA, pay(ANNA, "2"))
    following = await envelope(local, ANNA, pay(ANNA), ahead=2)
    stale = await envelope(local, ANNA, pay(ANNA), ahead=0)
    answers = await asyncio.gather(*(post(local, each) for each in (now, other, following, stale)))
    assert answers[0].status_code == 200
    for refused in answers[1:3]:
        problem(refused, 503, "server_over_capacity", "Server Over Capacity")
    extras = problem(answers[3], 400, "transaction_failed", "Transaction Failed")
    assert extras["result_codes"] == {"transaction": "tx_bad_seq"}
    assert (await post(local, following)).status_code == 200


async def test_a_full_queue_has_no_place(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    await fund(local, ANNA, BERT)
    sent = [await envelope(local, each, pay(each)) for each in (ANNA, BERT)]
    monkeypatch.setattr(node, "WAITING_COUNT_MAX", 1)
    answers = await asyncio.gather(*(post(local, each) for each in sent))
    assert sorted(answer.status_code for answer in answers) == [200, 503]


async def test_a_disk_that_fails_is_told_and_changes_nothing(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fund(local, ANNA)
    sent = (await envelope(local, ANNA, pay(ANNA))).to_xdr()
    with monkeypatch.context() as broken:
        broken.setattr(local.node.store, "add", _disk_full)
        with pytest.raises(OSError, match="full"):
            await local.node.submit(sent)
    assert local.node.last.sequence == 2
    assert (await post(local, sent)).status_code == 200


async def test_what_is_no_envelope_is_malformed_and_echoed(local: Local) -> None:
    for text in ("nonsense", "AAAA", "AAAAAgAAAAA="):
        answer = await post(local, text)
        extras = problem(answer, 400, "transaction_malformed", "Transaction Malformed")
        assert extras == {"envelope_xdr": text}


async def test_a_missing_field_and_other_bodies_are_refused(local: Local) -> None:
    empty = await local.http.post("/transactions", data={"other": "1"})
    assert problem(empty, 400, "bad_request", "Bad Request")["invalid_field"] == "tx"
    kind = "unsupported_media_type"
    wrong = await local.http.post("/transactions", json={"tx": "AAAA"})
    problem(wrong, 415, kind, "Unsupported Media Type")
    long = await local.http.post("/transactions", data={"tx": "A" * horizon.BODY_SIZE_MAX})
    problem(long, 413, "payload_too_large", "Payload Too Large")
    headers = {"content-type": horizon.FORM_TYPE}
    garbled = await local.http.post("/transactions", content=b"tx=\xff", headers=headers)
    problem(garbled, 400, "bad_request", "Bad Request")
    many = await local.http.post("/transactions", content=b"a=1&" * 20, headers=headers)
    problem(many, 400, "bad_request", "Bad Request")
    other = await local.http.delete("/ledgers")
    problem(other, 405, "method_not_allowed", "Method Not Allowed")


async def test_ledgers_are_paged_in_both_directions(local: Local) -> None:
    await fund(local, ANNA, BERT)
    await post(local, await envelope(local, ANNA, pay(BERT)))
    page = (await local.http.get("/ledgers", params={"limit": 3})).json()
    assert [each["sequence"] for each in page["_embedded"]["records"]] == [1, 2, 3]
    following = (await local.http.get(page["_links"]["next"]["href"])).json()
    assert [each["sequence"] for each in following["_embedded"]["records"]] == [4]
    back = (await local.http.get(following["_links"]["prev"]["href"])).json()
    assert [each["sequence"] for each in back["_embedded"]["records"]] == [3, 2, 1]
    end = (await local.http.get(following["_links"]["next"]["href"])).json()
    assert end["_embedded"]["records"] == []
    now = (await local.http.get("/ledgers", params={"cursor": "now", "order": "desc"})).json()
    assert [each["sequence"] for each in now["_embedded"]["records"]] == [4, 3, 2, 1]


async def test_a_ledger_shows_its_header_and_its_transactions(local: Local) -> None:
    await fund(local, ANNA)
    ledger = (await local.http.get("/ledgers/2")).json()
    header = xdr.LedgerHeader.from_xdr(ledger["header_xdr"])
    assert header.ledger_seq.uint32 == ledger["sequence"] == 2
    assert ledger["hash"] == local.node.last.hash.hex()
    assert ledger["closed_at"] == "2027-01-15T08:00:00Z"
    assert ledger["base_fee_in_stroops"] == 100
    assert ledger["base_reserve_in_stroops"] == 5_000_000
    assert (ledger["total_coins"], ledger["fee_pool"]) == ("100000000000.0000000", "0.0000100")
    page = (await local.http.get("/ledgers/2/transactions")).json()
    (record,) = page["_embedded"]["records"]
    assert record["ledger"] == 2
    for link, size in (("next", 0), ("prev", 0), ("self", 1)):
        found = (await local.http.get(page["_links"][link]["href"])).json()
        assert len(found["_embedded"]["records"]) == size, link


async def test_the_ledgers_it_serves_are_one_chain(local: Local) -> None:
    await fund(local, ANNA, BERT)
    page = (await local.http.get("/ledgers", params={"limit": 200})).json()
    headers = [each["header_xdr"] for each in page["_embedded"]["records"]]
    assert verify_header_chain(headers).last_hash == local.node.last.hash.hex()


async def test_the_evidence_of_an_anchor_proves_it(local: Local) -> None:
    await fund(local, ANNA)
    memo = bytes(range(32))
    anchor = pay(ANNA, "0.0000001")
    sent = await envelope(local, ANNA, anchor, memo=HashMemo(memo))
    await post(local, sent)
    answer = await local.http.get(f"/evidence/{sent.hash_hex()}")
    assert answer.headers["content-type"] == "application/json"
    evidence = answer.json()
    assert sorted(evidence) == [
        "envelope_xdr",
        "header_xdr",
        "ledger",
        "network_passphrase",
        "result_set_xdr",
    ]
    ledger = evidence.pop("ledger")
    proven = verify_anchor_evidence(memo_hash=memo, anchor_account=ANNA.public_key, **evidence)
    assert (proven.ledger, proven.tx_hash) == (ledger, sent.hash_hex())
    assert proven.header_hash == (await local.http.get(f"/ledgers/{ledger}")).json()["hash"]


async def test_fee_statistics_tell_bids_and_prices_as_texts(local: Local) -> None:
    empty = (await local.http.get("/fee_stats")).json()
    assert (empty["fee_charged"]["p99"], empty["max_fee"]["max"]) == ("100", "100")
    await fund(local, ANNA)
    sent = await envelope(local, ANNA, pay(ANNA))
    sent.transaction.fee = 7_000
    sent.signatures.clear()
    sent.sign(ANNA)
    assert (await post(local, sent)).status_code == 200
    stats = (await local.http.get("/fee_stats")).json()
    assert (stats["last_ledger"], stats["last_ledger_base_fee"]) == ("3", "100")
    assert stats["fee_charged"] == dict.fromkeys(stats["fee_charged"], "100")
    assert (stats["max_fee"]["min"], stats["max_fee"]["max"]) == ("100", "7000")
    assert (stats["max_fee"]["p50"], stats["max_fee"]["p60"]) == ("100", "7000")
    names = ["max", "min", "mode", *(f"p{n}" for n in (*range(10, 100, 10), 95, 99))]
    assert list(stats["max_fee"]) == names


def _disk_full(_closing: object) -> None:
    raise OSError("disk full")
