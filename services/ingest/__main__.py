"""`python -m services.ingest`: ingest as a process."""

from libs.runtime.process import run
from services.ingest.app import build
from services.ingest.settings import IngestSettings

if __name__ == "__main__":
    run(IngestSettings, build)
