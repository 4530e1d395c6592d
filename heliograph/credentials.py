"""Passwords and seeds that the embedded stack makes for itself, in one file.

Only its owner may read it. They are random and made once; a later start adds what is missing and
changes nothing else.
"""

import base64
import binascii
import json
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from heliograph.errors import StackError

_SECRET_SEED_VERSION: Final = 18 << 3
"""SEP-23: a secret seed begins with `S`."""
_SEED_SIZE: Final = 32


@dataclass(slots=True)
class Credentials:
    """Secrets by name. Its text shows none of them."""

    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    """By user, of the broker and of the database."""
    seeds: dict[str, str] = field(default_factory=dict, repr=False)
    """By purpose; Stellar secrets begin with `S`, others are base64 of 32 bytes."""

    @classmethod
    def load(cls, path: Path) -> "Credentials":
        """Read the file; empty where there is none.

        Raises:
            StackError: It is there but cannot be read.
        """
        try:
            found = json.loads(path.read_text("utf-8"))
            return cls(dict(found["passwords"]), dict(found["seeds"]))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StackError(f"The credentials in {path} cannot be read: {error}.") from error

    def save(self, path: Path) -> None:
        """Write the file for its owner alone, whole or not at all."""
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"passwords": self.passwords, "seeds": self.seeds}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def complete(
        self, users: Iterable[str], seeds: Iterable[tuple[str, Callable[[], str]]]
    ) -> bool:
        """Make what is missing.

        Args:
            users: Names that need a password.
            seeds: Names that need a seed, and what makes it.

        Returns:
            Whether anything was made.
        """
        before = len(self.passwords) + len(self.seeds)
        for user in users:
            self.passwords.setdefault(user, secrets.token_urlsafe(24))
        for name, make in seeds:
            if name not in self.seeds:
                self.seeds[name] = make()
        return len(self.passwords) + len(self.seeds) > before


def new_seed() -> str:
    """Make 32 random bytes, in base64."""
    return base64.b64encode(secrets.token_bytes(_SEED_SIZE)).decode("ascii")


def new_stellar_seed() -> str:
    """Make a random Stellar secret seed, 56 characters, beginning with `S`.

    Source:
        SEP-23.
    """
    body = bytes([_SECRET_SEED_VERSION]) + secrets.token_bytes(_SEED_SIZE)
    return base64.b32encode(body + _check_sum(body)).decode("ascii")


def bytes_of_seed(seed: str) -> bytes:
    """Decode a Stellar secret seed to its 32 bytes.

    Raises:
        ValueError: The text is no secret seed, or its check sum is wrong; the text is not told.

    Source:
        SEP-23.
    """
    from libs.events.ids import seed_of  # noqa: PLC0415 - only needed where keys are

    return seed_of(seed)


def _check_sum(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(2, "little")


def address_of_seed(seed: str) -> str:
    """Give the Stellar address that belongs to a Stellar secret seed."""
    from nacl.signing import SigningKey  # noqa: PLC0415 - only needed where keys are

    from libs.events.ids import address_of  # noqa: PLC0415 - as above

    return address_of(bytes(SigningKey(bytes_of_seed(seed)).verify_key))
