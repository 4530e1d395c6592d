"""The outbox: every report that was built, on disk before it is sent, kept until its receipt.

One SQLite file, write-ahead log, fully synchronous. A row is never changed but by a receipt whose
hash matches; then the bytes of an accepted report are deleted and its hash stays. A refused report
stays whole and is never sent again.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from services.teller.domain import Built

FILE_NAME: Final = "outbox.sqlite3"
"""The file in the data folder."""

LOCK_S: Final = 1.0
"""Seconds to wait for another Teller that lets go of the file."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS identity (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  json TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS reports (
  meter TEXT NOT NULL,
  seq INTEGER NOT NULL,
  until INTEGER NOT NULL,
  after TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'accepted', 'refused')),
  jws TEXT,
  reason TEXT,
  position TEXT,
  PRIMARY KEY (meter, seq),
  CHECK (jws IS NOT NULL OR state = 'accepted')
) STRICT;
CREATE INDEX IF NOT EXISTS waiting ON reports (meter, seq) WHERE state = 'waiting';
"""


class OutboxRefused(Exception):
    """The outbox belongs to another Teller, or cannot be opened."""


class Settled(StrEnum):
    """What a receipt did."""

    ACCEPTED = "accepted"
    """The report is recorded; its bytes are gone."""
    REFUSED = "refused"
    """The report is parked for good."""
    AGAIN = "again"
    """It was settled before."""
    UNKNOWN = "unknown"
    """There is no such report, or it has another hash: nothing was done."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report that waits for its receipt."""

    meter: str
    """The meter."""
    seq: int
    """Number of the report."""
    jws: str
    """What is sent."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What ingest answered to one report."""

    meter: str
    """The meter."""
    seq: int
    """Number of the report."""
    sha256: str
    """Hash of the report that was received."""
    recorded: bool
    """Whether it is a reading now."""
    reason: str | None
    """Why it was refused."""
    position: str | None
    """Where the reading or refusal stands."""


class Outbox:
    """Reports by meter and sequence."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use an open database; see `open`."""
        self._db = connection

    @classmethod
    def open(cls, folder: Path, identity: dict[str, str]) -> Self:
        """Open the outbox of a Teller, or make it.

        Args:
            folder: The data folder; made when missing.
            identity: What must never change under stored reports, such as site and key.

        Raises:
            OutboxRefused: It is another Teller's, in use, or damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        text = json.dumps(identity, sort_keys=True)
        try:
            database = sqlite3.connect(path, timeout=LOCK_S, isolation_level=None)
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_SCHEMA)
            database.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (text,))
            (known,) = database.execute("SELECT json FROM identity").fetchone()
        except sqlite3.DatabaseError as error:
            raise OutboxRefused(f"{path}: {error}") from error
        if known != text:
            database.close()
            raise OutboxRefused(f"{path} belongs to {known}, not to {text}")
        return cls(database)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def last(self, meter: str) -> tuple[int, int, tuple[int, ...]] | None:
        """The last report that was built: its sequence, its end, the registers after it."""
        row = self._db.execute(
            "SELECT seq, until, after FROM reports WHERE meter = ? ORDER BY seq DESC LIMIT 1",
            (meter,),
        ).fetchone()
        return None if row is None else (row[0], row[1], tuple(json.loads(row[2])))

    def store(self, built: Iterable[Built]) -> None:
        """Store signed reports, all or none; on disk when this returns.

        Raises:
            sqlite3.Error: They could not be stored, as on a full disk.
        """
        rows = [
            (one.meter, one.seq, one.until, json.dumps(one.after), _sha256(one.jws), one.jws)
            for one in built
        ]
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO reports (meter, seq, until, after, sha256, state, jws) "
                "VALUES (?, ?, ?, ?, ?, 'waiting', ?)",
                rows,
            )

    def waiting(self, limit: int) -> list[Waiting]:
        """The first reports without a receipt, by meter and sequence."""
        rows = self._db.execute(
            "SELECT meter, seq, jws FROM reports WHERE state = 'waiting' "
            "ORDER BY meter, seq LIMIT ?",
            (limit,),
        )
        return [Waiting(*row) for row in rows]

    def waiting_until(self, until: int) -> int:
        """How many reports that end by an instant (seconds since 1970) have no receipt."""
        row = self._db.execute(
            "SELECT count(*) FROM reports WHERE state = 'waiting' AND until <= ?", (until,)
        ).fetchone()
        return int(row[0])

    def settle(self, receipts: Sequence[Receipt]) -> list[Settled]:
        """Work receipts into the outbox, all or none.

        Returns:
            What each of them did.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            return [self._settle(receipt) for receipt in receipts]

    def _settle(self, receipt: Receipt) -> Settled:
        row = self._db.execute(
            "SELECT sha256, state FROM reports WHERE meter = ? AND seq = ?",
            (receipt.meter, receipt.seq),
        ).fetchone()
        if row is None or row[0] != receipt.sha256:
            return Settled.UNKNOWN
        if row[1] != "waiting":
            return Settled.AGAIN
        state = Settled.ACCEPTED if receipt.recorded else Settled.REFUSED
        self._db.execute(
            "UPDATE reports SET state = ?, reason = ?, position = ?, "
            "jws = CASE WHEN ? THEN NULL ELSE jws END WHERE meter = ? AND seq = ?",
            (
                state.value,
                receipt.reason,
                receipt.position,
                receipt.recorded,
                receipt.meter,
                receipt.seq,
            ),
        )
        return state

    def counts(self) -> dict[str, int]:
        """How many reports are `waiting`, `accepted`, `refused`."""
        counts = dict.fromkeys(("waiting", "accepted", "refused"), 0)
        counts.update(
            self._db.execute("SELECT state, count(*) FROM reports GROUP BY state").fetchall()
        )
        return counts

    def refused(self, limit: int) -> list[dict[str, Any]]:
        """The parked reports, the newest first."""
        rows = self._db.execute(
            "SELECT meter, seq, sha256, reason FROM reports WHERE state = 'refused' "
            "ORDER BY seq DESC LIMIT ?",
            (limit,),
        )
        return [
            {"meter": meter, "seq": seq, "sha256": sha256, "reason": reason}
            for meter, seq, sha256, reason in rows
        ]

    def digest(self, meter: str) -> str:
        """SHA-256 over the hashes (32 bytes each) of a meter's accepted reports, by sequence."""
        rows = self._db.execute(
            "SELECT sha256 FROM reports WHERE meter = ? AND state = 'accepted' ORDER BY seq",
            (meter,),
        )
        running = hashlib.sha256()
        for (sha256,) in rows:
            running.update(bytes.fromhex(sha256))
        return running.hexdigest()


def _sha256(jws: str) -> str:
    return hashlib.sha256(jws.encode("ascii")).hexdigest()
