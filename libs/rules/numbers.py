"""The only two functions that round: `scale` and `split`.

Source: domain rules, section 2; docs/decisions/0001.
"""

from collections.abc import Mapping


def scale(amount: int, numerator: int, denominator: int) -> int:
    """Compute `amount * numerator / denominator`, rounded half to even.

    Args:
        amount: Any integer.
        numerator: Any integer.
        denominator: Above zero.

    Returns:
        The nearest integer; of two equally near the even one.

    Raises:
        ValueError: The denominator is not above zero.
    """
    if denominator <= 0:
        raise ValueError("denominator must be above zero")
    quotient, rest = divmod(amount * numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        quotient += 1
    return quotient


def split(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split an amount by weights: largest remainder, ties by the lower key.

    Args:
        amount: What is split, at least zero.
        weights: A weight of at least zero for each key; among people the key is the Stellar
            address.

    Returns:
        A part for every key, in the order of `weights`; the parts sum to `amount`, and no part is
        further than one from its exact share.

    Raises:
        ValueError: The amount or a weight is below zero, or there is an amount and no weight.
    """
    total = sum(weights.values())
    if amount < 0 or any(weight < 0 for weight in weights.values()):
        raise ValueError("amount and weights must not be below zero")
    if total == 0:
        if amount:
            raise ValueError("an amount needs a weight above zero")
        return dict.fromkeys(weights, 0)
    parts, remainders = {}, []
    for key, weight in weights.items():
        parts[key], remainder = divmod(amount * weight, total)
        remainders.append((-remainder, key))
    for _, key in sorted(remainders)[: amount - sum(parts.values())]:
        parts[key] += 1
    return parts
