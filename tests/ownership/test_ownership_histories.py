"""Random histories: the real rules are as the independent second model says.

One history is a system from its proposal on: it is raised, held, used, billed, paid or not, late,
cured, corrected, owned. After everything that happens all balances, bills, steps and supply facts
are compared. `make test-long` plays the full count and prints the seed that repeats it.
"""

import os
import time

import pytest

from tests.ownership.reconciling import laws, reconcile
from tests.ownership.wandering import Wanderer

SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED") or 1)
SHORT, LONG = 16, 600


def play(seed: int, steps: int) -> Wanderer:
    """One history; it ends with both services beginning again."""
    wanderer = Wanderer(seed)
    try:
        wanderer.wander(steps)
        real, systems = wanderer.world.real, wanderer.world.model.ledger.systems
        laws(real, systems)
        reconcile(real)
        wanderer.restart("both")
        wanderer.world.settle()
    except BaseException:
        print(*wanderer.world.notes[-25:], sep="\n")  # noqa: T201 - how it came to this
        print(f"seed {seed}")  # noqa: T201
        raise
    return wanderer


@pytest.mark.parametrize("seed", range(SHORT))
def test_the_rules_are_as_the_second_model_says(seed: int) -> None:
    play(seed, 60)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_rules_are_as_the_second_model_says_in_full() -> None:
    began, steps = time.monotonic(), 0
    for seed in range(SEED * 100_000, SEED * 100_000 + LONG):
        steps += play(seed, 120).steps
    taken = time.monotonic() - began
    print(f"ownership: {LONG} histories, {steps} steps, seed {SEED}, {taken:.0f} s")  # noqa: T201
