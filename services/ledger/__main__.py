"""`python -m services.ledger`: the ledger as a process."""

from libs.runtime.process import run
from services.ledger.app import build
from services.ledger.settings import LedgerSettings

if __name__ == "__main__":
    run(LedgerSettings, build)
