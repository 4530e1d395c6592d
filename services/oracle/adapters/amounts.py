"""Decimal numbers of documents as stroops: exact where they have at most seven decimals. Pure."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

from libs.events.quantities import STROOPS_PER_UNIT
from libs.rules.numbers import scale
from libs.runtime.failures import Refused

DIGITS_MAX: Final = 30
"""Most digits of a number in a document, so that nobody makes us count in millions of them."""

_PLAIN: Final = re.compile(rf"[+-]?(?=[0-9.])[0-9]{{0,{DIGITS_MAX}}}(\.[0-9]{{0,{DIGITS_MAX}}})?")
_LARGEST: Final = Decimal(10) ** 12


def refused(code: str, field: str, rule: str) -> Refused:
    """A document that breaks a rule at a field."""
    return Refused(code, f"{field}: {rule}", field=field)


def decimal_of(text: str, field: str) -> Decimal:
    """Read a plain decimal number such as `-12.34`.

    Raises:
        Refused: It is none.
    """
    stripped = text.strip()
    if not _PLAIN.fullmatch(stripped) or stripped.strip("+-.") == "":
        raise refused("document-number", field, "a plain decimal number such as -12.34")
    return Decimal(stripped)


def checked(number: Decimal, field: str) -> Decimal:
    """Refuse a number that is none, or of a size that no price has."""
    if not number.is_finite():
        raise refused("document-number", field, "a number")
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "finite numbers have an exponent"
    if number and (
        number.adjusted() > DIGITS_MAX
        or abs(number) > _LARGEST
        or max(len(digits), -exponent) > DIGITS_MAX
    ):
        raise refused("document-number", field, "a number of a size that a price has")
    return number


def stroops(number: Decimal | Fraction, *, per: int = 1) -> int:
    """Give an amount in stroops; what is finer than a stroop is rounded half to even.

    Args:
        number: The amount in units of its asset.
        per: What it is the amount of, such as 1,000 for a price per MWh where one per kWh is asked.
    """
    exact = Fraction(number)
    return scale(STROOPS_PER_UNIT, exact.numerator, exact.denominator * per)
