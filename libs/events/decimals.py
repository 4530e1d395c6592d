"""Decimal text at the edge: kWh and units of money as people write them, integers inside.

A signed command of the energy network has `"amount": "200"` and `"pricePerUnit": "0.08"`: text,
read exactly, never a JSON number, since a float would already have rounded what was meant.
"""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema

from libs.events.quantities import INTEGER_MAX, STROOPS_PER_UNIT, WH_PER_KWH

KWH_PLACES: Final = 3
"""Decimal places of a kWh: one Wh."""

MONEY_PLACES: Final = 7
"""Decimal places of a unit of money: one stroop."""

_TEXT = re.compile(r"(0|[1-9][0-9]{0,15})(?:\.([0-9]+))?")
_WORD_OF_PLACES: Final = {KWH_PLACES: "kWh", MONEY_PLACES: "units of money"}


def parse_decimal(text: str, places: int) -> int:
    """Read decimal text exactly.

    Args:
        text: Digits, and at most `places` behind a point: `200`, `0.08`; no sign, no exponent.
        places: Decimal places of the result's unit.

    Returns:
        The number in units of 10^-places.

    Raises:
        ValueError: Another spelling, more places, or above 2^53 - 1 in the result's unit.
    """
    found = _TEXT.fullmatch(text)
    if found is None or len(found[2] or "") > places:
        raise ValueError(f"a decimal text such as 200 or 0.5, with at most {places} places")
    scale: int = 10**places
    value = int(found[1]) * scale + int((found[2] or "").ljust(places, "0"))
    if value > INTEGER_MAX:
        raise ValueError(f"at most {write_decimal(INTEGER_MAX, places)}")
    return value


def write_decimal(value: int, places: int) -> str:
    """Write an integer of units of 10^-places in its shortest decimal text."""
    sign, (whole, part) = "-" * (value < 0), divmod(abs(value), 10**places)
    return f"{sign}{whole}.{part:0{places}}".rstrip("0").rstrip(".")


def _reader(places: int) -> BeforeValidator:
    def read(value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            return parse_decimal(value, places)
        if info.mode == "json":
            word = _WORD_OF_PLACES[places]
            raise ValueError(f'decimal text of {word} in quotes, such as "200", never a number')
        return value  # Python code hands over the integer itself

    return BeforeValidator(read)


def _schema(places: int) -> WithJsonSchema:
    pattern = rf"^(0|[1-9][0-9]{{0,15}})(\.[0-9]{{1,{places}}})?$"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": ["200", "0.5"]})


KwhText = Annotated[
    int,
    _reader(KWH_PLACES),
    Field(strict=True, ge=0, le=INTEGER_MAX),
    PlainSerializer(lambda value: write_decimal(value, KWH_PLACES), return_type=str),
    _schema(KWH_PLACES),
]
"""Energy: decimal text of kWh with up to 3 places outside, Wh inside."""

MoneyText = Annotated[
    int,
    _reader(MONEY_PLACES),
    Field(strict=True, ge=0, le=INTEGER_MAX),
    PlainSerializer(lambda value: write_decimal(value, MONEY_PLACES), return_type=str),
    _schema(MONEY_PLACES),
]
"""Money, or a price of a kWh: decimal text with up to 7 places outside, stroops inside."""

assert 10**KWH_PLACES == WH_PER_KWH
assert 10**MONEY_PLACES == STROOPS_PER_UNIT
