"""Key files: one Stellar secret seed, for its owner alone, that members sign with."""

import os
from pathlib import Path

from heliograph.credentials import bytes_of_seed, new_stellar_seed
from heliograph.errors import StackError
from libs.events.jws import SigningKey

KEY_SIZE_MAX = 1_024
"""Most bytes that are read of a key file; a seed and its line end have 57."""


def new_key(path: Path) -> str:
    """Make a random key and keep its seed in a new file, mode 0600.

    Returns:
        The address.

    Raises:
        StackError: Something stands there already, or the file cannot be written.
    """
    seed = new_stellar_seed()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{seed}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise StackError(f"{path} is there already; a key is never overwritten.") from error
    except OSError as error:
        raise StackError(f"The key cannot be written: {error}.") from error
    return SigningKey(bytes_of_seed(seed)).address


def read_secret(path: Path) -> str:
    """Read the secret seed of a key file, 56 characters that begin with `S`.

    Raises:
        StackError: The file cannot be read, or holds no seed; its text is not told.
    """
    try:
        with path.open("rb") as file:
            text = file.read(KEY_SIZE_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        raise StackError(f"The key cannot be read: {error}.") from error
    try:
        bytes_of_seed(text)
    except ValueError as error:
        raise StackError(f"{path} holds no key: {error}.") from error
    return text


def read_key(path: Path) -> SigningKey:
    """Read the key of a key file.

    Raises:
        StackError: The file cannot be read, or holds no seed.
    """
    return SigningKey(bytes_of_seed(read_secret(path)))
