"""Numbers of pay-as-you-go tokens, as OpenPAYGO counts them. Pure.

A device takes a token only with a count above the ones before: an even one for a token that adds
time, an odd one for any other. So the count says the kind, and no count serves twice.

Source: OpenPAYGO Token specification; `tests/ledger/test_paygo_rules.py` compares the library.
"""

from typing import Final

from libs.events.supply import PaygoKind

_PARITY: Final[dict[PaygoKind, int]] = {"add-time": 0, "disable": 1}


def next_count(count: int, kind: PaygoKind) -> int:
    """The number of a device's next token.

    Args:
        count: The device's counter, from 0.
        kind: What the token is to do.
    """
    return count + 1 if (count + 1) % 2 == _PARITY[kind] else count + 2
