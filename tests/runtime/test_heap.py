"""What a service has loaded when it is ready is no longer walked through by the collector."""

import gc
from collections.abc import Iterator

import pytest

from libs.runtime.heap import OLDER_EVERY, YOUNG_MAX, settle_heap


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_everything_that_lives_is_set_aside() -> None:
    state = [{"fact": [number]} for number in range(1_000)]

    settle_heap()

    assert gc.get_freeze_count() > len(state)
    assert gc.get_threshold() == (YOUNG_MAX, OLDER_EVERY, OLDER_EVERY)
    assert not any(each is state for each in gc.get_objects())
