"""What a service has loaded when it is ready is no longer walked through by the collector."""

import gc
from collections.abc import Iterator

import pytest

from libs.runtime.heap import OLDER_EVERY, YOUNG_MAX, settle_heap, spare_heap


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_a_start_is_walked_through_as_seldom_as_the_work_after_it() -> None:
    spare_heap()

    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == (YOUNG_MAX, OLDER_EVERY, OLDER_EVERY)


def test_everything_that_lives_is_set_aside() -> None:
    state = [{"fact": [number]} for number in range(1_000)]

    settle_heap()

    assert gc.get_freeze_count() > len(state)
    assert gc.get_threshold() == (YOUNG_MAX, OLDER_EVERY, OLDER_EVERY)
    assert not any(each is state for each in gc.get_objects())
