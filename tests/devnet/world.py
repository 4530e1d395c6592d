"""A devnet without time and disk: build transactions, judge them, close ledgers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from stellar_sdk import (
    Asset,
    CreateAccount,
    Keypair,
    Memo,
    Payment,
    Preconditions,
    Transaction,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.operation import Operation

from devnet.account import Account
from devnet.codes import operation_codes, transaction_code
from devnet.frame import Frame, frame_of
from devnet.ledger import Closed, Closing, close, genesis
from devnet.protocol import Network
from devnet.validity import Moment, check_valid

PASSPHRASE = "Heliograph Devnet ; tests"
START = 1_800_000_000
COIN = 10**7


def key(name: str) -> Keypair:
    """Return the keypair of a name; the same name, the same key."""
    return Keypair.from_raw_ed25519_seed(hashlib.sha256(name.encode()).digest())


ANNA, BERT, CLAUS, NOBODY = (key(name) for name in ("anna", "bert", "claus", "nobody"))


def pay(to: Keypair, amount: str = "1", source: Keypair | None = None) -> Payment:
    return Payment(
        destination=to.public_key,
        asset=Asset.native(),
        amount=amount,
        source=None if source is None else source.public_key,
    )


def create(new: Keypair, amount: str = "100") -> CreateAccount:
    return CreateAccount(destination=new.public_key, starting_balance=amount)


@dataclass
class World:
    network: Network = field(default_factory=lambda: Network.from_passphrase(PASSPHRASE))
    closings: list[Closing] = field(default_factory=list)
    accounts: dict[bytes, Account] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._keep(genesis(self.network))

    @classmethod
    def inhabited(cls) -> "World":
        """Give a world in which Anna, Bert and Claus have 100 coins each."""
        world = cls()
        operations = [create(each) for each in (ANNA, BERT, CLAUS)]
        world.close(world.frame(world.network.root, *operations), at=START)
        return world

    @property
    def last(self) -> Closed:
        return self.closings[-1].closed

    def account(self, owner: Keypair) -> Account:
        return self.accounts[owner.raw_public_key()]

    def envelope(
        self,
        source: Keypair,
        *operations: Operation,
        sequence: int | None = None,
        fee: int | None = None,
        memo: Memo | None = None,
        preconditions: Preconditions | None = None,
        signers: Sequence[Keypair] | None = None,
        passphrase: str = PASSPHRASE,
    ) -> TransactionEnvelope:
        if sequence is None:
            sequence = self.account(source).sequence + 1
        transaction = Transaction(
            source=source,
            sequence=sequence,
            fee=100 * len(operations) if fee is None else fee,
            operations=operations,
            memo=memo,
            preconditions=preconditions,
        )
        envelope = TransactionEnvelope(transaction, passphrase)
        for signer in [source] if signers is None else signers:
            envelope.sign(signer)
        return envelope

    def frame(
        self,
        source: Keypair,
        *operations: Operation,
        sequence: int | None = None,
        fee: int | None = None,
        memo: Memo | None = None,
        preconditions: Preconditions | None = None,
        signers: Sequence[Keypair] | None = None,
        passphrase: str = PASSPHRASE,
    ) -> Frame:
        envelope = self.envelope(
            source,
            *operations,
            sequence=sequence,
            fee=fee,
            memo=memo,
            preconditions=preconditions,
            signers=signers,
            passphrase=passphrase,
        )
        return frame_of(envelope.to_xdr_object(), self.network.network_id)

    def judge(self, frame: Frame, at: int | None = None) -> xdr.TransactionResult | None:
        moment = Moment(self.last.sequence + 1, self.last.close_time + 5 if at is None else at)
        return check_valid(frame, self.accounts, moment)

    def codes(self, frame: Frame, at: int | None = None) -> tuple[str, ...]:
        """Return transaction and operation codes of the verdict; empty when valid."""
        result = self.judge(frame, at)
        return () if result is None else words(result)

    def close(self, *frames: Frame, at: int | None = None) -> Closing:
        """Close a ledger with frames that must be valid."""
        at = self.last.close_time + 5 if at is None else at
        for frame in frames:
            refused = self.judge(frame, at)
            assert refused is None, words(refused)
        closing = close(self.network, self.last, self.accounts, frames, at)
        self._keep(closing)
        return closing

    def _keep(self, closing: Closing) -> None:
        self.closings.append(closing)
        self.accounts.update((account.key, account) for account in closing.changed)


def words(result: xdr.TransactionResult) -> tuple[str, ...]:
    return (transaction_code(result), *operation_codes(result))
