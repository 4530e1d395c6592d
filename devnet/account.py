"""One account of the devnet, and its form as a ledger entry."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self, TypeAlias

from stellar_sdk import StrKey, xdr

from devnet.protocol import BASE_RESERVE_STROOPS

MASTER_WEIGHT_INDEX: Final = 0
LOW_INDEX: Final = 1
MEDIUM_INDEX: Final = 2
HIGH_INDEX: Final = 3
DEFAULT_THRESHOLDS: Final = b"\x01\x00\x00\x00"
"""Master weight 1, all thresholds 0: one signature of the master key is enough for everything."""


@dataclass(frozen=True, slots=True)
class Account:
    """The state of one account after some ledger."""

    key: bytes
    """The master key, raw Ed25519, 32 bytes."""
    balance: int
    """Stroops, 0 to 2^63 - 1."""
    sequence: int
    """The last sequence number used."""
    sequence_ledger: int = 0
    """Ledger that last changed `sequence`; 0: not since the account was created (CAP-21)."""
    sequence_time: int = 0
    """Close time of that ledger, Unix seconds; 0 likewise."""
    modified_ledger: int = 0
    """Ledger that last changed anything in this account."""
    thresholds: bytes = DEFAULT_THRESHOLDS
    """Master weight, low, medium and high threshold, one byte each."""

    @property
    def address(self) -> str:
        """The account's address, `G…`."""
        return StrKey.encode_ed25519_public_key(self.key)

    @property
    def available(self) -> int:
        """Stroops above the reserve; negative when the reserve itself is touched."""
        return self.balance - minimum_balance()

    def with_balance(self, balance: int) -> Self:
        """Return the account holding `balance` stroops."""
        return replace(self, balance=balance)

    def as_entry(self) -> xdr.LedgerEntry:
        """Return the account as a ledger entry, with the extensions of protocol 19 and later.

        Source:
            CAP-21: sequence ledger and sequence time live in the third account extension.
        """
        third = xdr.AccountEntryExtensionV3(
            ext=xdr.ExtensionPoint(0),
            seq_ledger=xdr.Uint32(self.sequence_ledger),
            seq_time=xdr.TimePoint(xdr.Uint64(self.sequence_time)),
        )
        second = xdr.AccountEntryExtensionV2(
            num_sponsored=xdr.Uint32(0),
            num_sponsoring=xdr.Uint32(0),
            signer_sponsoring_i_ds=[],
            ext=xdr.AccountEntryExtensionV2Ext(3, v3=third),
        )
        first = xdr.AccountEntryExtensionV1(
            liabilities=xdr.Liabilities(buying=xdr.Int64(0), selling=xdr.Int64(0)),
            ext=xdr.AccountEntryExtensionV1Ext(2, v2=second),
        )
        never_sequenced = self.sequence_ledger == 0 and self.sequence_time == 0
        entry = xdr.AccountEntry(
            account_id=account_id(self.key),
            balance=xdr.Int64(self.balance),
            seq_num=xdr.SequenceNumber(xdr.Int64(self.sequence)),
            num_sub_entries=xdr.Uint32(0),
            inflation_dest=None,
            flags=xdr.Uint32(0),
            home_domain=xdr.String32(b""),
            thresholds=xdr.Thresholds(self.thresholds),
            signers=[],
            ext=xdr.AccountEntryExt(0) if never_sequenced else xdr.AccountEntryExt(1, v1=first),
        )
        return xdr.LedgerEntry(
            last_modified_ledger_seq=xdr.Uint32(self.modified_ledger),
            data=xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=entry),
            ext=xdr.LedgerEntryExt(0),
        )

    @classmethod
    def from_entry(cls, stored: xdr.LedgerEntry) -> Self:
        """Rebuild an account from the ledger entry that `as_entry` made."""
        entry = stored.data.account
        assert entry is not None, "the store holds accounts only"
        third = None
        if entry.ext.v1 is not None and entry.ext.v1.ext.v2 is not None:
            third = entry.ext.v1.ext.v2.ext.v3
        return cls(
            key=account_key(entry.account_id),
            balance=entry.balance.int64,
            sequence=entry.seq_num.sequence_number.int64,
            sequence_ledger=third.seq_ledger.uint32 if third else 0,
            sequence_time=third.seq_time.time_point.uint64 if third else 0,
            modified_ledger=stored.last_modified_ledger_seq.uint32,
            thresholds=entry.thresholds.thresholds,
        )


AccountsView: TypeAlias = Mapping[bytes, Account]
"""Accounts by master key, to look at and not to change."""


def minimum_balance() -> int:
    """Return the reserve of an account without subentries, in stroops."""
    return 2 * BASE_RESERVE_STROOPS


def public_key(key: bytes) -> xdr.PublicKey:
    """Return raw Ed25519 bytes (32) as the protocol's public key."""
    return xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, ed25519=xdr.Uint256(key))


def account_id(key: bytes) -> xdr.AccountID:
    """Return raw Ed25519 bytes (32) as the protocol's account id."""
    return xdr.AccountID(public_key(key))


def account_key(identity: xdr.AccountID) -> bytes:
    """Return the raw Ed25519 bytes (32) of an account id."""
    ed25519 = identity.account_id.ed25519
    assert ed25519 is not None, "the protocol has one type of public key"
    return ed25519.uint256


def muxed_key(muxed: xdr.MuxedAccount) -> bytes:
    """Return the raw Ed25519 bytes (32) of an account that may carry a multiplexing id.

    Source:
        CAP-27: the id is for the receiver's books; the ledger knows the key alone.
    """
    if muxed.med25519 is not None:
        return muxed.med25519.ed25519.uint256
    assert muxed.ed25519 is not None, "a muxed account is one of two kinds"
    return muxed.ed25519.uint256
