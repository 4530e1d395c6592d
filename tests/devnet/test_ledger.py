"""Closing ledgers: what transactions do, what failures leave behind, and the chain of headers."""

import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import Keypair, Preconditions, xdr

from devnet import txset
from devnet.account import Account
from devnet.ledger import Closing, genesis, skip_list
from devnet.protocol import INT64_MAX, TOTAL_COINS_STROOPS, Network
from libs.stellar.encoding import decode
from libs.stellar.evidence import verify_close_value, verify_header_chain, verify_inclusion
from tests.devnet.world import (
    ANNA,
    BERT,
    CLAUS,
    COIN,
    NOBODY,
    PASSPHRASE,
    START,
    World,
    create,
    pay,
    words,
)
from tests.stellar import mainnet

PEOPLE = [ANNA, BERT, CLAUS, NOBODY]


@pytest.fixture
def world() -> World:
    return World.inhabited()


def outcome(closing: Closing) -> tuple[str, ...]:
    assert len(closing.applied) == 1
    return words(closing.applied[0].result)


def total(world: World) -> int:
    balances = sum(account.balance for account in world.accounts.values())
    return balances + world.last.header.fee_pool.int64


def test_the_first_ledger_holds_all_coins_in_the_root_account() -> None:
    network = Network.from_passphrase(PASSPHRASE)
    first = genesis(network)
    assert first.closed.sequence == 1
    (root,) = first.changed
    assert root.key == network.root.raw_public_key()
    assert root.balance == first.closed.header.total_coins.int64 == TOTAL_COINS_STROOPS


def test_a_payment_moves_coins_and_costs_the_base_fee_whatever_was_bid(world: World) -> None:
    closing = world.close(world.frame(ANNA, pay(BERT, "1.5"), fee=5_000))
    assert outcome(closing) == ("tx_success", "op_success")
    assert world.account(ANNA).balance == 98 * COIN + COIN // 2 - 100
    assert world.account(BERT).balance == 101 * COIN + COIN // 2
    assert world.last.header.fee_pool.int64 == 300 + 100


def test_a_payment_to_oneself_needs_no_balance(world: World) -> None:
    closing = world.close(world.frame(ANNA, pay(ANNA, "922337203685.4775807")))
    assert outcome(closing) == ("tx_success", "op_success")
    assert world.account(ANNA).balance == 100 * COIN - 100


def test_a_new_account_starts_at_its_ledgers_number(world: World) -> None:
    world.close(world.frame(ANNA, create(NOBODY, "1")))
    assert world.account(NOBODY).sequence == world.last.sequence << 32
    assert world.account(NOBODY).balance == COIN


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([create(BERT)], "op_already_exists"),
        ([create(NOBODY, "0.9999999")], "op_low_reserve"),
        ([create(NOBODY, "0")], "op_low_reserve"),
        ([create(NOBODY, "99")], "op_underfunded"),
        ([pay(NOBODY)], "op_no_destination"),
        ([pay(NOBODY, "1000")], "op_no_destination"),
        ([pay(BERT, "99")], "op_underfunded"),
        ([pay(BERT, "922337203685.4775807")], "op_line_full"),
    ],
)
def test_a_failed_transaction_changes_only_fee_and_sequence(
    world: World, operations: list[object], code: str
) -> None:
    before = dict(world.accounts)
    closing = world.close(world.frame(ANNA, pay(BERT), *operations))  # type: ignore[arg-type]
    assert outcome(closing) == ("tx_failed", "op_success", code)
    (changed,) = closing.changed
    old = before[ANNA.raw_public_key()]
    assert changed == Account(
        key=old.key,
        balance=old.balance - 200,
        sequence=old.sequence + 1,
        sequence_ledger=world.last.sequence,
        sequence_time=world.last.close_time,
        modified_ledger=world.last.sequence,
    )


def test_after_a_failure_the_other_operations_are_still_tried(world: World) -> None:
    closing = world.close(world.frame(ANNA, pay(NOBODY), pay(BERT), create(BERT)))
    assert outcome(closing) == ("tx_failed", "op_no_destination", "op_success", "op_already_exists")
    assert world.account(BERT).balance == 100 * COIN


def test_an_account_made_in_a_transaction_can_act_in_it(world: World) -> None:
    operations = [create(NOBODY, "5"), pay(BERT, "4", source=NOBODY)]
    closing = world.close(world.frame(ANNA, *operations, signers=[ANNA, NOBODY]))
    assert outcome(closing) == ("tx_success", "op_success", "op_success")
    assert world.account(NOBODY).balance == COIN


def test_an_operation_of_an_account_that_never_came_fails(world: World) -> None:
    frame = world.frame(ANNA, pay(ANNA, source=NOBODY), signers=[ANNA, NOBODY])
    assert outcome(world.close(frame)) == ("tx_failed", "op_no_source_account")


def test_fees_are_taken_before_anything_is_applied(world: World) -> None:
    drain = world.frame(ANNA, pay(CLAUS, "98.9999900", source=BERT), fee=100, signers=[ANNA, BERT])
    own = world.frame(BERT, pay(CLAUS, "0.0000001"), fee=100)
    closing = world.close(drain, own)
    results = {each.frame.source: words(each.result) for each in closing.applied}
    outcomes = sorted(results.values())
    assert [each[0] for each in outcomes].count("tx_success") >= 1
    assert world.account(BERT).balance >= COIN
    assert total(world) == TOTAL_COINS_STROOPS


def test_a_missed_sequence_window_is_kept(world: World) -> None:
    used = world.account(ANNA).sequence
    conditions = Preconditions(min_sequence_number=used)
    world.close(world.frame(ANNA, pay(BERT), sequence=used + 7, preconditions=conditions))
    assert world.account(ANNA).sequence == used + 7


def test_ledgers_form_the_chain_that_mainnets_verifier_checks(world: World) -> None:
    for _ in range(5):
        world.close(world.frame(ANNA, pay(BERT)), world.frame(BERT, pay(ANNA)))
    headers = [closing.closed.header.to_xdr() for closing in world.closings]
    chain = verify_header_chain(headers)
    assert (chain.first_ledger, chain.last_ledger) == (1, 7)
    assert chain.last_hash == world.last.hash.hex()
    validator = world.network.validator.public_key
    assert {verify_close_value(header, PASSPHRASE) for header in headers[1:]} == {validator}
    last = world.closings[-1]
    for each in last.applied:
        found = verify_inclusion(
            tx_hash=each.frame.hash,
            result_set_xdr=base64.b64encode(last.result_set).decode(),
            header_xdr=headers[-1],
        )
        assert (found.ledger, found.header_hash) == (7, world.last.hash)


def test_the_same_history_gives_the_same_ledgers() -> None:
    def history() -> bytes:
        world = World.inhabited()
        frames = [world.frame(ANNA, pay(BERT)), world.frame(BERT, pay(CLAUS))]
        world.close(*frames)
        return world.last.hash

    assert history() == history()


def test_the_order_in_which_transactions_arrived_does_not_matter() -> None:
    worlds = World.inhabited(), World.inhabited()
    frames = [worlds[0].frame(each, pay(CLAUS)) for each in (ANNA, BERT)]
    worlds[0].close(*frames)
    worlds[1].close(*reversed(frames))
    assert worlds[0].last == worlds[1].last


def test_an_account_survives_as_a_ledger_entry(world: World) -> None:
    world.close(world.frame(ANNA, pay(BERT)))
    for account in world.accounts.values():
        entry = xdr.LedgerEntry.from_xdr_bytes(account.as_entry().to_xdr_bytes())
        assert Account.from_entry(entry) == account


def test_mainnets_transaction_set_has_our_canonical_and_our_apply_order() -> None:
    ledger = mainnet.full_ledger()
    set_hash = ledger.header.scp_value.tx_set_hash.hash
    assert ledger.tx_set.v1_tx_set is not None
    order = []
    for phase in ledger.tx_set.v1_tx_set.phases:
        for component in phase.v0_components or []:
            part = component.txs_maybe_discounted_fee
            assert part is not None
            built = txset.build(bytes(32), part.txs)
            again = xdr.GeneralizedTransactionSet.from_xdr_bytes(built.encoded).v1_tx_set
            assert again is not None
            first = (again.phases[0].v0_components or [])[0].txs_maybe_discounted_fee
            assert first is not None
            assert first.txs == part.txs
            full = [txset.full_hash(envelope) for envelope in part.txs]
            order += [part.txs[index] for index in txset.apply_order(full, set_hash)]
    hashes = [mainnet.transaction_name(envelope) for envelope in order]
    assert hashes == [each.transaction_hash.hash for each in ledger.results]


def test_mainnets_skip_lists_follow_our_rule() -> None:
    headers = [
        decode(xdr.LedgerHeader, row["ledger_header"])
        for row in mainnet.lines("ledgers-2024.jsonl")
    ]
    changes = 0
    for before, header in itertools.pairwise(headers):
        sequence = header.ledger_seq.uint32
        assert skip_list(sequence, header.bucket_list_hash, before.skip_list) == header.skip_list
        changes += before.skip_list != header.skip_list
    assert changes == 1


def test_the_skip_list_moves_deeper_at_the_long_distances() -> None:
    old = [xdr.Hash(bytes([n]) * 32) for n in range(4)]
    new = xdr.Hash(b"\xff" * 32)
    assert skip_list(49, new, old) == old
    assert skip_list(50, new, old) == [new, *old[1:]]
    assert skip_list(5_050, new, old) == [new, old[0], *old[2:]]
    assert skip_list(55_050, new, old) == [new, old[0], old[1], old[3]]
    assert skip_list(555_050, new, old) == [new, *old[:3]]


PAYMENTS = st.tuples(
    st.sampled_from(PEOPLE),
    st.sampled_from(PEOPLE),
    st.sampled_from([1, COIN, 50 * COIN, 99 * COIN - 100, INT64_MAX]),
    st.booleans(),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(PAYMENTS, min_size=1, max_size=4), max_size=5))
def test_coins_are_conserved_and_sequences_only_rise(
    ledgers: list[list[tuple[Keypair, Keypair, int, bool]]],
) -> None:
    """Whatever people try, valid or not, in whatever company."""
    world = World.inhabited()
    for moves in ledgers:
        frames = {}
        for source, target, stroops, creates in moves:
            if source.raw_public_key() not in world.accounts:
                continue
            amount = f"{stroops // COIN}.{stroops % COIN:07d}"
            operation = create(target, amount) if creates else pay(target, amount)
            frame = world.frame(source, operation)
            if world.judge(frame) is None:
                frames[frame.source] = frame
        before = dict(world.accounts)
        if frames:
            world.close(*frames.values())
        assert total(world) == TOTAL_COINS_STROOPS
        assert all(account.balance >= 0 for account in world.accounts.values())
        for key, account in before.items():
            used = 1 if key in frames else 0
            assert world.accounts[key].sequence == account.sequence + used
    verify_header_chain([closing.closed.header.to_xdr() for closing in world.closings])


def test_worlds_begin_at_a_known_time() -> None:
    assert World.inhabited().last.close_time == START
