"""The garbage collector of a process that keeps a large state for long.

Python's collector walks through everything that was ever made, again and again, and stands still
meanwhile: 100 ms with nothing but the modules of a service, seconds with a year of facts. What a
service has loaded and folded when it is ready lives as long as the process, so it is set aside.
"""

import gc
from typing import Final

YOUNG_MAX: Final = 20_000
"""New objects after which the young ones are walked through; a turn makes about so many."""

OLDER_EVERY: Final = 20
"""Young rounds between two of the next generation, and so on."""


def spare_heap() -> None:
    """Walk seldom from now on; called before the streams are folded, which makes what stays."""
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, OLDER_EVERY, OLDER_EVERY)


def settle_heap() -> None:
    """Set everything aside that lives now; called once, when the streams are folded."""
    gc.collect()
    spare_heap()
