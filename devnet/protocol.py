"""What a network is before anything has happened on it: constants, network id and keys."""

import hashlib
from dataclasses import dataclass
from typing import Final, Self

from stellar_sdk import Keypair

LEDGER_VERSION: Final = 23
"""Protocol version in every header; 23 is the first with a parallel Soroban phase (CAP-63)."""

BASE_FEE_STROOPS: Final = 100
"""Lowest fee of one operation, in stroops."""

BASE_RESERVE_STROOPS: Final = 5_000_000
"""Reserve of one ledger entry, in stroops (0.5 XLM); an account needs two."""

TOTAL_COINS_STROOPS: Final = 10**18
"""All coins of the network, in stroops (100 billion XLM), held by the root account at genesis."""

TX_SET_OPERATION_COUNT_MAX: Final = 1_000
"""Most operations a header allows in one transaction set."""

FRIENDBOT_STROOPS: Final = 10_000 * 10**7
"""What friendbot gives to a new account, in stroops (10 000 XLM)."""

INT64_MAX: Final = 2**63 - 1
GENESIS_SEQUENCE: Final = 1
SIGNATURE_HINT_SIZE: Final = 4
"""Bytes of a key that a signature names as its hint: the last four."""


@dataclass(frozen=True, slots=True)
class Network:
    """The identities that follow from a passphrase. Everybody who knows it can derive the keys."""

    passphrase: str
    """The network's name; it separates signatures of one network from those of another."""
    network_id: bytes
    """SHA-256 of the passphrase, 32 bytes."""
    root: Keypair
    """Holds all coins at genesis and is the source of friendbot; its seed is the network id."""
    validator: Keypair
    """Signs the close value of every ledger."""

    @classmethod
    def from_passphrase(cls, passphrase: str) -> Self:
        """Derive a network from its passphrase.

        Args:
            passphrase: Any text, 1 to 256 characters.

        Raises:
            ValueError: The passphrase is empty or too long.

        Source:
            stellar-core seeds the root account of a new network with the network id.
        """
        if not 1 <= len(passphrase) <= 256:  # noqa: PLR2004 - the range is in the docstring
            raise ValueError("A passphrase has 1 to 256 characters.")
        text = passphrase.encode()
        network_id = hashlib.sha256(text).digest()
        validator_seed = hashlib.sha256(b"heliograph devnet validator\n" + text).digest()
        return cls(
            passphrase=passphrase,
            network_id=network_id,
            root=Keypair.from_raw_ed25519_seed(network_id),
            validator=Keypair.from_raw_ed25519_seed(validator_seed),
        )


def starting_sequence(ledger_sequence: int) -> int:
    """Return the sequence number of an account created in this ledger.

    Source:
        stellar-core, getStartingSequenceNumber: the ledger's number in the upper 32 bits.
    """
    return ledger_sequence << 32
