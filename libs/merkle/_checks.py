"""Turn values of unknown shape into values of known shape, or raise `ProofError`.

Proofs come out of files that anyone can write, so a verifier trusts no type hint: what it is given
passes through here first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from libs.merkle.errors import ProofError

HASH_SIZE = 32
"""Length of a SHA-256 hash, in bytes."""

SIZE_MAX = 2**63 - 1
"""Largest tree size that is accepted, in leaves: what a signed 64-bit integer holds."""


@contextmanager
def at_step(number: int) -> Iterator[None]:
    """Give every refusal within the block the number of a step.

    Args:
        number: The step, as listed in the docstring of the routine that is running.

    Raises:
        ProofError: The refusal of the block, with this number.
    """
    try:
        yield
    except ProofError as error:
        raise ProofError(error.reason, step=number) from error


def checked_integer(value: object, what: str, *, most: int = SIZE_MAX) -> int:
    """Accept a whole number from 0 to `most`; a `bool` is not a number.

    Args:
        value: What was given.
        what: Name of the value, for the message.
        most: Largest number that is accepted.

    Returns:
        The same number.

    Raises:
        ProofError: The value is not an `int`, or is out of range.
    """
    if type(value) is not int:
        raise ProofError(f"{what} is not a whole number")
    if not 0 <= value <= most:
        raise ProofError(f"{what} is not between 0 and {most}")
    return value


def checked_bytes(value: object, what: str, *, size: int = HASH_SIZE) -> bytes:
    """Accept exactly `size` bytes.

    Args:
        value: What was given.
        what: Name of the value, for the message.
        size: Length that is accepted, in bytes; that of a hash by default.

    Returns:
        The same bytes.

    Raises:
        ProofError: The value is not `bytes`, or has another length.
    """
    if not isinstance(value, bytes) or len(value) != size:
        raise ProofError(f"{what} is not {size} bytes")
    return value


def checked_hashes(values: object, what: str, *, count: int) -> list[bytes]:
    """Accept a sequence of exactly `count` hashes.

    Args:
        values: What was given. The count is compared before any element is looked at.
        what: Name of the sequence, for the message.
        count: Number of hashes that is accepted; one too few or too many is refused.

    Returns:
        The hashes in the same order, 32 bytes each.

    Raises:
        ProofError: Not a sequence, another count, or an element that is not 32 bytes.
    """
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes, bytearray)):
        raise ProofError(f"{what} is not a list of hashes")
    if len(values) != count:
        raise ProofError(f"{what} has {len(values)} hashes instead of {count}")
    return [checked_bytes(value, f"a hash of {what}") for value in values]
