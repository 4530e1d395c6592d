"""Return on open principal, and how a payment is divided between return and principal. Pure.

Simple interest, actual/365: it never compounds. One accrual rounds once.

Source: domain rules, section 6; docs/decisions/0005.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

from libs.events.quantities import INTEGER_MAX
from libs.rules.numbers import scale, split
from libs.rules.receivables import Part

_Place = TypeVar("_Place")

DAYS_OF_YEAR: Final = 365
"""Days of the year on which a rate counts, also in a leap year."""

DAYS_MAX: Final = 366_000
"""Most days of one accrual: a thousand years."""

PPM: Final = 1_000_000
"""Parts in one."""


def accrued_stroops(principal_stroops: int, days: int, return_ppm_year: int) -> int:
    """Return for some days on one principal, rounded once.

    Args:
        principal_stroops: Open principal at the start of every one of these days.
        days: Whole local days, from 0.
        return_ppm_year: The agreed return, in ppm a year.
    """
    return scale(principal_stroops * days, return_ppm_year, DAYS_OF_YEAR * PPM)


def accruable_days(principal_stroops: int, return_ppm_year: int) -> int:
    """The most days whose return one fact can say: at least those of a year.

    Args:
        principal_stroops: Open principal.
        return_ppm_year: The agreed return, in ppm a year.
    """
    yearly = max(1, principal_stroops * return_ppm_year)
    return min(DAYS_MAX, INTEGER_MAX * DAYS_OF_YEAR * PPM // yearly)


def payoff_stroops(
    principal_stroops: int, return_due_stroops: int, days: int, return_ppm_year: int
) -> int:
    """What has to be paid today so that nothing is owed any more.

    Args:
        principal_stroops: Open principal.
        return_due_stroops: Return that is booked and not paid.
        days: Local days since, today included, for which none is booked yet.
        return_ppm_year: The agreed return, in ppm a year.
    """
    return (
        principal_stroops
        + return_due_stroops
        + accrued_stroops(principal_stroops, days, return_ppm_year)
    )


def clearing(
    parts: Iterable[tuple[_Place, Part, int]], money_stroops: int, owed_stroops: int
) -> Iterator[tuple[_Place, Part, int]]:
    """How far money clears what is open; energy never beyond what is owed.

    Args:
        parts: What is open, in the order of clearing: its invoice, class and payee, and amount.
        money_stroops: How much there is.
        owed_stroops: Principal and return through today.

    Returns:
        What is cleared of each part, above zero.
    """
    for place, part, amount in parts:
        if money_stroops == 0:
            return
        is_energy = part[0] == "energy"
        taken = min(amount, money_stroops, owed_stroops if is_energy else amount)
        if taken:
            yield place, part, taken
            money_stroops -= taken
            owed_stroops -= taken if is_energy else 0


def waterfall(
    money_stroops: int, return_due_stroops: int, principal_stroops: int
) -> tuple[int, int]:
    """Divide money: all return that is due comes first, then principal.

    Args:
        money_stroops: At most both together.
        return_due_stroops: Return that is due, through today.
        principal_stroops: Open principal.

    Returns:
        The parts for return and for principal.
    """
    returns = min(money_stroops, return_due_stroops)
    principal = money_stroops - returns
    assert principal <= principal_stroops, "nobody pays more than he owes"
    return returns, principal


def split_by_member(
    amount: int, weights: Mapping[str, int], addresses: Mapping[str, str]
) -> dict[str, int]:
    """Split an amount among members, ties by address; only parts above zero, by member.

    Args:
        amount: What is split.
        weights: The weight of each member: his title, or his claim.
        addresses: The Stellar address of each of them.
    """
    members = {addresses[member]: member for member in weights}
    parts = split(amount, {address: weights[member] for address, member in members.items()})
    return dict(sorted((members[address], part) for address, part in parts.items() if part))
