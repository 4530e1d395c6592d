"""`python -m services.teller`: the Teller as a process."""

from libs.runtime.process import run
from services.teller.app import build
from services.teller.settings import TellerSettings

if __name__ == "__main__":
    run(TellerSettings, build)
