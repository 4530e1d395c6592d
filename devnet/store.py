"""The devnet's memory: one SQLite file, one transaction per ledger.

What was answered is durable: a ledger is committed with a full sync before anybody hears of it, so
the process may be killed at any moment. One process at a time owns the file.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from stellar_sdk import xdr

from devnet.account import Account
from devnet.ledger import Applied, Closed, Closing, genesis
from devnet.protocol import INT64_MAX, Network

FILE_NAME: Final = "devnet.sqlite3"
SCHEMA_VERSION: Final = 1
PAGE_SIZE_MAX: Final = 200
"""Most rows that one page of ledgers or transactions holds."""

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ledgers (
    sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL, closed_at INTEGER NOT NULL,
    header BLOB NOT NULL, tx_set BLOB NOT NULL, result_set BLOB NOT NULL,
    successful_count INTEGER NOT NULL, failed_count INTEGER NOT NULL,
    operation_count INTEGER NOT NULL, tx_set_operation_count INTEGER NOT NULL
);
CREATE TABLE transactions (
    hash BLOB PRIMARY KEY, ledger INTEGER NOT NULL, position INTEGER NOT NULL,
    envelope BLOB NOT NULL, result BLOB NOT NULL, fee_changes BLOB NOT NULL,
    fee_bid INTEGER NOT NULL, fee_charged INTEGER NOT NULL, operation_count INTEGER NOT NULL,
    UNIQUE (ledger, position)
) WITHOUT ROWID;
CREATE TABLE accounts (key BLOB PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID;
"""


_LEDGER: Final = (
    "SELECT hash, header, tx_set, result_set, successful_count, failed_count,"
    " operation_count, tx_set_operation_count FROM ledgers"
)
_TRANSACTION: Final = (
    "SELECT t.hash, t.ledger, t.position, l.closed_at, t.envelope, t.result, t.fee_changes"
    " FROM transactions t JOIN ledgers l ON l.sequence = t.ledger"
)
_LEDGERS_AFTER: Final = "sequence > ? ORDER BY sequence"
_TRANSACTIONS_AFTER: Final = "t.position > ? ORDER BY t.position"


class StoreUnusable(Exception):
    """The data folder cannot be used: other network, other version, in use, or damaged."""


@dataclass(frozen=True, slots=True)
class StoredLedger:
    """A closed ledger as it was kept."""

    closed: Closed
    tx_set: bytes
    result_set: bytes
    successful_count: int
    failed_count: int
    operation_count: int
    """Operations of successful transactions."""
    tx_set_operation_count: int
    """Operations of all transactions."""


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction that is in a ledger."""

    hash: bytes
    ledger: int
    position: int
    """Place in the ledger's apply order, from 1."""
    close_time: int
    """Of its ledger, Unix seconds."""
    envelope: bytes
    result: bytes
    fee_changes: bytes


@dataclass(frozen=True, slots=True)
class Bid:
    """What one transaction bid and paid, in stroops per operation, rounded down."""

    ledger: int
    bid: int
    charged: int


class Store:
    """Ledgers, transactions and accounts in SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, folder: Path, network: Network) -> Self:
        """Open the store in a folder; a new one begins with the first ledger.

        Raises:
            StoreUnusable: The folder is another network's, is in use, or holds something else.
        """
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None, timeout=1.0)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            store = cls(connection)
            store._begin(network)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StoreUnusable(f"Cannot use the data folder: {error}.") from error
        except StoreUnusable:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """Release the file. Nothing is lost without it."""
        self._connection.close()

    def add(self, closing: Closing) -> None:
        """Keep a ledger with its transactions and accounts, all or nothing, and sync the disk."""
        sequence = closing.closed.sequence
        rows = [_row(sequence, n, each) for n, each in enumerate(closing.applied, start=1)]
        counts = [len(each.frame.operations) for each in closing.applied]
        good = [len(each.frame.operations) for each in closing.applied if each.successful]
        ledger = (
            sequence,
            closing.closed.hash,
            closing.closed.close_time,
            closing.closed.header.to_xdr_bytes(),
            closing.tx_set,
            closing.result_set,
            len(good),
            len(counts) - len(good),
            sum(good),
            sum(counts),
        )
        accounts = [(each.key, each.as_entry().to_xdr_bytes()) for each in closing.changed]
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            execute("INSERT INTO ledgers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", ledger)
            many = self._connection.executemany
            many("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            many("INSERT OR REPLACE INTO accounts VALUES (?, ?)", accounts)
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            raise

    def accounts(self) -> dict[bytes, Account]:
        """Return all accounts after the last ledger, by key."""
        rows = self._connection.execute("SELECT key, entry FROM accounts")
        entries = ((key, xdr.LedgerEntry.from_xdr_bytes(entry)) for key, entry in rows)
        return {key: Account.from_entry(entry) for key, entry in entries}

    def last(self) -> Closed:
        """Return the last closed ledger."""
        (sequence,) = self._connection.execute("SELECT max(sequence) FROM ledgers").fetchone()
        found = self.ledger(sequence)
        assert found is not None, "a store has at least the first ledger"
        return found.closed

    def ledger(self, sequence: int) -> StoredLedger | None:
        """Return a ledger by number, or None."""
        found = self.ledgers(after=sequence - 1, limit=1, descending=False)
        return found[0] if found and found[0].closed.sequence == sequence else None

    def ledgers(self, *, after: int | None, limit: int, descending: bool) -> list[StoredLedger]:
        """Return a page of ledgers.

        Args:
            after: Number to begin behind, in the direction of reading; None: at the end.
            limit: Most rows, 1 to 200.
            descending: Newest first.
        """
        where = (
            "sequence < ? ORDER BY sequence DESC"
            if descending
            else "sequence > ? ORDER BY sequence"
        )
        rows = self._connection.execute(
            f"{_LEDGER} WHERE {where} LIMIT ?",
            (_start(after, descending=descending), min(limit, PAGE_SIZE_MAX)),
        )
        return [
            StoredLedger(Closed(xdr.LedgerHeader.from_xdr_bytes(header), digest), *rest)
            for digest, header, *rest in rows
        ]

    def transaction(self, digest: bytes) -> StoredTransaction | None:
        """Return a transaction by hash (32 bytes), or None."""
        row = self._connection.execute(f"{_TRANSACTION} WHERE t.hash = ?", (digest,)).fetchone()
        return None if row is None else StoredTransaction(*row)

    def ledger_transactions(
        self, sequence: int, *, after: int | None, limit: int, descending: bool
    ) -> list[StoredTransaction]:
        """Return a page of a ledger's transactions, by place in its apply order.

        Args:
            sequence: The ledger.
            after: Place to begin behind, in the direction of reading; None: at the end.
            limit: Most rows, 1 to 200.
            descending: Last first.
        """
        where = (
            "t.position < ? ORDER BY t.position DESC"
            if descending
            else "t.position > ? ORDER BY t.position"
        )
        rows = self._connection.execute(
            f"{_TRANSACTION} WHERE t.ledger = ? AND {where} LIMIT ?",
            (sequence, _start(after, descending=descending), min(limit, PAGE_SIZE_MAX)),
        )
        return [StoredTransaction(*row) for row in rows]

    def bids(self, *, from_ledger: int) -> list[Bid]:
        """Return what was bid and paid since a ledger, that one included."""
        rows = self._connection.execute(
            "SELECT ledger, fee_bid / operation_count, fee_charged / operation_count"
            " FROM transactions WHERE ledger >= ? ORDER BY ledger, position",
            (from_ledger,),
        )
        return [Bid(*row) for row in rows]

    def played_time(self) -> int | None:
        """Return the played time that was set last, Unix seconds, or None."""
        value = self._meta("played_time")
        return None if value is None else int(value)

    def set_played_time(self, closed_at: int) -> None:
        """Keep the played time, Unix seconds, and sync the disk."""
        self._connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('played_time', ?)", (str(closed_at),)
        )

    def _begin(self, network: Network) -> None:
        """Create the schema and first ledger, or check that the file is this network's."""
        execute = self._connection.execute
        execute("BEGIN EXCLUSIVE")
        (version,) = execute("PRAGMA user_version").fetchone()
        execute("COMMIT")
        if version == 0:
            self._connection.executescript(
                f"BEGIN EXCLUSIVE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            raise StoreUnusable(f"The data folder has version {version}, not {SCHEMA_VERSION}.")
        (count,) = execute("SELECT count(*) FROM ledgers").fetchone()
        if count == 0:
            values = ("passphrase", network.passphrase)
            execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)
            self.add(genesis(network))
        if self._meta("passphrase") != network.passphrase:
            raise StoreUnusable("The data folder belongs to a network with another passphrase.")

    def _meta(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])


def _start(after: int | None, *, descending: bool) -> int:
    """Return the exclusive bound of a page."""
    if after is not None:
        return after
    return INT64_MAX if descending else 0


def _row(sequence: int, position: int, applied: Applied) -> tuple[int | bytes, ...]:
    return (
        applied.frame.hash,
        sequence,
        position,
        applied.frame.envelope_bytes,
        applied.result.to_xdr_bytes(),
        applied.fee_changes,
        applied.frame.fee_bid,
        applied.result.fee_charged.int64,
        len(applied.frame.operations),
    )
