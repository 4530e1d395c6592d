"""Who trades what, the same for every benchmark of trades.

`bench/sql/schema.sql` says the same in SQL.
"""

from typing import Final

ENERGY_WH: Final = 1_000
"""Energy of each trade, in Wh."""

TOTAL_STROOPS: Final = 800_000
"""What it costs, in stroops: 0.08 a kWh."""

START_BALANCE: Final = 10**10
"""What each member begins with, in stroops and in Wh: enough for any number of trades."""


def parties(number: int, members: int) -> tuple[int, int]:
    """Seller and buyer of a trade; all members trade about equally often.

    Args:
        number: Number of the trade, from 0.
        members: Number of members, at least 2.
    """
    seller = number * 7919 % members
    return seller, (seller + 1 + number % (members - 1)) % members
