"""`python -m services.anchor`: the anchor as a process."""

from libs.runtime.process import run
from services.anchor.app import build
from services.anchor.settings import AnchorSettings

if __name__ == "__main__":
    run(AnchorSettings, build)
