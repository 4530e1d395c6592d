"""`python -m services.ingest`: ingest as a process."""

import gc
from typing import Final

from libs.runtime.process import run
from services.ingest.app import build
from services.ingest.settings import IngestSettings

GARBAGE_THRESHOLDS: Final = (50_000, 20, 50)
"""Reports make many objects without cycles, and heads stay for ever: look for cycles less often."""

if __name__ == "__main__":
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    run(IngestSettings, build)
