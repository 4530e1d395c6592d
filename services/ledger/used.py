"""Ids that were used once and never again: 64-bit digests, 8 bytes each in a snapshot. Pure.

Among a hundred million ids the chance that any two share a digest is one in three thousand. The
second of them is refused as used, and its maker takes another; no rule relies on more than that.
"""

import struct
from hashlib import blake2b

from libs.rules.dumps import Dumped, Loaded

DIGEST_BYTES = 8
"""Bytes of a digest."""

_SHARDS = 256  # a set that grows copies itself; a small one does it within milliseconds
_ROW_BYTES = 4_096 * DIGEST_BYTES


class UsedIds:
    """The ids of one kind that a book has seen."""

    def __init__(self, kind: str) -> None:
        """Begin with none.

        Args:
            kind: What is called so: `trade`, `order` or `transfer`. It is part of the digest.
        """
        self._prefix = f"{kind}.".encode("ascii")
        self._sets: tuple[set[int], ...] = tuple(set() for _ in range(_SHARDS))
        self._log = bytearray()

    def __contains__(self, name: str) -> bool:
        """Tell whether an id was used."""
        digest = self._digest(name)
        return digest in self._sets[digest % _SHARDS]

    def __len__(self) -> int:
        """Count the ids."""
        return len(self._log) // DIGEST_BYTES

    def add(self, name: str) -> None:
        """Remember an id; one that is known changes nothing."""
        self._put(self._digest(name))

    def dump(self) -> Dumped:
        """Give the digests, some thousands in a row, as hexadecimal digits."""
        log = bytes(self._log)
        return {
            "digests": (log[at : at + _ROW_BYTES].hex() for at in range(0, len(log), _ROW_BYTES))
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for row in dumped["digests"]:
            for (digest,) in struct.iter_unpack(">Q", bytes.fromhex(row)):
                self._put(digest)

    def _digest(self, name: str) -> int:
        made = blake2b(self._prefix + name.encode("ascii"), digest_size=DIGEST_BYTES).digest()
        return int.from_bytes(made, "big")

    def _put(self, digest: int) -> None:
        shard = self._sets[digest % _SHARDS]
        if digest not in shard:
            shard.add(digest)
            self._log += digest.to_bytes(DIGEST_BYTES, "big")
