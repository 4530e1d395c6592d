"""What a value is made of: the median of the fresh sources, the fence, the quorum. Pure.

The value is the median of all fresh sources. The fence puts outliers aside when the quorum is
counted, and says who is to be quarantined; it does not choose the values of which the median is
taken. Were it to, one liar could steer: of 96 (false), 100 and 150 with a fence of 5 % it would
leave 96 and 100, whose middle is below everything that an honest source said.

Source: domain rules, section 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from libs.rules.numbers import scale

_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What some sources say together."""

    value: int
    """The median."""
    outliers: frozenset[str]
    """The sources that are further from it than the fence."""


def median(values: Sequence[int]) -> int:
    """The middle one of at least one value; of two middle ones their mean, half to even."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return scale(ordered[middle - 1] + ordered[middle], 1, 2)


def judge(values: Mapping[str, int], *, fence_ppm: int, quorum: int) -> Judged | None:
    """Make a value of what the fresh sources say.

    Args:
        values: By source.
        fence_ppm: A source that is further from the median, in ppm of it, is an outlier.
        quorum: Fewest sources that must be no outliers, 1 or more.

    Returns:
        None while there is no quorum.
    """
    if len(values) < quorum:
        return None
    value = median(list(values.values()))
    most = fence_ppm * abs(value)
    outliers = frozenset(
        source for source, told in values.items() if abs(told - value) * _PPM > most
    )
    return Judged(value, outliers) if len(values) - len(outliers) >= quorum else None
