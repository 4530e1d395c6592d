"""The projection process: `python -m services.projection [--rebuild] [--once]`."""

import argparse
import gc
from typing import Final

from libs.runtime.process import run
from services.projection.app import builder
from services.projection.settings import ProjectionSettings

GARBAGE_THRESHOLDS: Final = (100_000, 50, 100)
"""Rows and facts form no cycles; looking for some less often saves a tenth of the time."""


def main() -> None:
    """Be the projection process."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    parser = argparse.ArgumentParser(
        prog="python -m services.projection",
        description="Keep the Postgres views. Settings come from HELIOGRAPH_PROJECTION_*.",
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="drop all views first and build them from zero"
    )
    parser.add_argument(
        "--once", action="store_true", help="end when every stream was read to its present end"
    )
    asked = parser.parse_args()
    run(ProjectionSettings, builder(rebuild=asked.rebuild, once=asked.once))


if __name__ == "__main__":
    main()
