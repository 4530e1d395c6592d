"""Settings of the ledger: `HELIOGRAPH_LEDGER_<NAME>`."""

from pydantic import Field

from libs.events.ids import Address
from libs.runtime.settings import ServiceSettings


class LedgerSettings(ServiceSettings):
    """What the ledger reads from the environment."""

    first_approver: Address = Field(
        description="Stellar address of the first approver, who registers everybody else."
    )
    partitions: int = Field(1, ge=1, le=256, description="Number of partitions of READINGS.")
