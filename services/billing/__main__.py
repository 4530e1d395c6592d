"""`python -m services.billing`: billing as a process."""

from libs.runtime.process import run
from services.billing.app import build
from services.billing.settings import BillingSettings

if __name__ == "__main__":
    run(BillingSettings, build)
