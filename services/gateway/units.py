"""Quantities as text for people: exact decimals of the stored integers, never rounded.

Only the percentages round, and they never reach 0 or 100 unless they are. Pure.
"""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH
from libs.rules.numbers import scale

_PERCENT_DIGITS: Final = 4
_WHOLE: Final = 100 * 10**_PERCENT_DIGITS


def kwh(energy_wh: int) -> str:
    """Write watt-hours as kilowatt-hours, such as `12.345`."""
    return _decimal(energy_wh, WH_PER_KWH, 3)


def amount(stroops: int) -> str:
    """Write stroops as units of their asset, such as `1.2345678`."""
    return _decimal(stroops, STROOPS_PER_UNIT, 7)


def percent(part: int, whole: int) -> str:
    """Write a share in percent with four decimals.

    Args:
        part: From 0 to `whole`.
        whole: Above zero, or 0 where there is nothing to share.

    Returns:
        Such as `12.3457`; `<0.0001` and `>99.9999` for what is nearly nothing and nearly all.
    """
    if whole <= 0:
        return "0.0000"
    parts = scale(part, _WHOLE, whole)
    if parts == 0 and part > 0:
        return "<0.0001"
    if parts >= _WHOLE and part < whole:
        return ">99.9999"
    return _decimal(parts, 10**_PERCENT_DIGITS, _PERCENT_DIGITS)


def code_of(asset: str) -> str:
    """Give the code of an asset without its issuer."""
    return asset.partition(":")[0]


def instant(moment: datetime) -> str:
    """Write an instant in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def is_zone(name: str | None) -> bool:
    """Tell whether this is the name of a time zone that is known here."""
    try:
        return name is not None and ZoneInfo(name).key == name
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def ranges(numbers: list[int]) -> str:
    """Write ascending numbers as stretches: `1-4, 7, 9-12`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def _decimal(value: int, unit: int, digits: int) -> str:
    whole, rest = divmod(abs(value), unit)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{digits}d}"
