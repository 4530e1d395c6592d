"""A forger: he may rewrite what is stored and anchor it again, with keys of his own.

He has every power but the keys of others, so only what the facts themselves say can stop him.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stellar_sdk import TransactionEnvelope

from devnet.frame import frame_of
from devnet.records import as_base64
from libs.events.positions import fact_hash
from libs.eventstore import Stored
from libs.merkle import Checkpoint, MerkleLog, leaf_hash, multiproof
from libs.proof.build import build_proof
from libs.proof.model import ProofFact, ProofFile, ProofLog, ProofRound
from libs.proof.rounds import origin_of, round_sha256, write_round
from libs.stellar.anchoring import build_anchor_envelope
from libs.stellar.encoding import header_hash
from tests.devnet.world import ANNA, PASSPHRASE, World

FORGER_SEED = hashlib.sha256(b"the forger's logs").digest()

Change = Callable[[dict[str, Any]], None]


class Forge:
    """The stored streams, in the forger's hands."""

    def __init__(self, season: Mapping[str, Sequence[Stored]], invoice: str) -> None:
        self.invoice = invoice
        logs = _honest(season, invoice)
        self.chosen = {log.stream: [fact.index for fact in log.facts] for log in logs}
        self._sizes = {log.stream: log.size for log in logs}
        self._leaves = dict(_leaves(season))
        self._season = season
        self._rows = {
            (stream, index): season[stream][index].data
            for stream, indices in self.chosen.items()
            for index in indices
        }

    def find(self, kind: str, place: int = 0) -> tuple[str, int]:
        """Stream and index of one of the chosen facts of a kind."""
        found = [
            (stream, index)
            for stream, indices in self.chosen.items()
            for index in indices
            if self._season[stream][index].subject.endswith(f".{kind}")
        ]
        return found[place]

    def place(self, stream: str, kind: str) -> int:
        """Index of the first fact of a kind in a stream, chosen or not."""
        rows = self._season[stream]
        return next(n for n, row in enumerate(rows) if row.subject.endswith(f".{kind}"))

    def read(self, where: tuple[str, int]) -> dict[str, Any]:
        return dict(json.loads(self._rows[where]))

    def edit(self, where: tuple[str, int], change: Change) -> "Forge":
        """Rewrite one fact."""
        document = self.read(where)
        change(document)
        self._rows[where] = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return self

    def write(self, where: tuple[str, int], old: bytes, new: bytes) -> "Forge":
        """Replace a piece of the bytes of one fact."""
        assert old in self._rows[where]
        self._rows[where] = self._rows[where].replace(old, new, 1)
        return self

    def drop(self, where: tuple[str, int]) -> "Forge":
        """Leave a fact out of the file."""
        stream, index = where
        self.chosen[stream].remove(index)
        return self

    def add(self, stream: str, index: int) -> "Forge":
        """Put a fact into the file that was not chosen."""
        self.chosen[stream] = sorted({*self.chosen[stream], index})
        self._rows[stream, index] = self._season[stream][index].data
        return self

    def rehash(self) -> None:
        """Let every written position follow the rewritten facts, until nothing changes."""
        places = {where: f"{where[0]}:{where[1] + 1}:" for where in self._rows}
        old = {where: fact_hash(self._season[where[0]][where[1]].data) for where in self._rows}
        while True:
            changes: dict[bytes, bytes] = {}
            for where, data in self._rows.items():
                now = fact_hash(data)
                if old[where] != now:
                    changes[f"{places[where]}{old[where]}".encode()] = (
                        f"{places[where]}{now}".encode()
                    )
                    old[where] = now
            if not changes:
                return
            for where in self._rows:
                for was, new in changes.items():
                    self._rows[where] = self._rows[where].replace(was, new)

    def anchored(self) -> bytes:
        """Anchor what is stored now with the forger's keys, and write the file."""
        logs = []
        for stream, indices in sorted(self.chosen.items()):
            size = self._sizes[stream]
            leaves = list(self._leaves[stream][:size])
            for index in indices:
                leaves[index] = leaf_hash(self._rows[stream, index])
            if indices:
                logs.append(self._log(stream, indices, MerkleLog(leaves)))
        heads = [Checkpoint(log.origin, log.size, root) for log, root in logs]
        made = ProofFile(
            deployment="demo",
            invoice=self.invoice,
            round=anchor(write_round(heads, FORGER_SEED)),
            logs=tuple(log for log, _ in logs),
        )
        return made.to_bytes()

    def _log(self, stream: str, indices: Sequence[int], log: MerkleLog) -> tuple[ProofLog, bytes]:
        proof = multiproof(log, indices, log.size)
        written = ProofLog(
            stream=stream,
            origin=origin_of("demo", stream),
            size=log.size,
            facts=tuple(
                ProofFact(index=index, data=self._rows[stream, index].decode())
                for index in proof.indices
            ),
            nodes=tuple(base64.b64encode(node).decode() for node in proof.nodes),
        )
        return written, log.root()


_CACHE: dict[tuple[int, str], Any] = {}
"""What is the same for all forgeries of one season."""


def _honest(season: Mapping[str, Sequence[Stored]], invoice: str) -> Sequence[ProofLog]:
    place = (id(season), invoice)
    if place not in _CACHE:
        _CACHE[place] = build_proof(season, invoice).logs
    found: Sequence[ProofLog] = _CACHE[place]
    return found


def _leaves(season: Mapping[str, Sequence[Stored]]) -> dict[str, list[bytes]]:
    place = (id(season), "")
    if place not in _CACHE:
        _CACHE[place] = {
            stream: [leaf_hash(stored.data) for stored in rows] for stream, rows in season.items()
        }
    found: dict[str, list[bytes]] = _CACHE[place]
    return found


def anchor(text: str) -> ProofRound:
    """A round in a ledger that the forger closed himself."""
    world = World.inhabited()
    built = build_anchor_envelope(
        source_seed=ANNA.secret,
        sequence=world.account(ANNA).sequence + 1,
        memo_hash=round_sha256(text),
        max_time_unix=2**40,
        network_passphrase=PASSPHRASE,
        fee_stroops=100,
    )
    envelope = TransactionEnvelope.from_xdr(built.envelope_xdr, PASSPHRASE)
    closing = world.close(frame_of(envelope.to_xdr_object(), world.network.network_id))
    header = closing.closed.header
    return ProofRound(
        text=text,
        network=PASSPHRASE,
        account=ANNA.public_key,
        envelope_xdr=built.envelope_xdr,
        result_set_xdr=as_base64(closing.result_set),
        header_xdr=header.to_xdr(),
        ledger=header.ledger_seq.uint32,
        ledger_hash=header_hash(header).hex(),
        closed_at=datetime.fromtimestamp(closing.closed.close_time, UTC),
    )
