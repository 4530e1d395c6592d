"""Settings of billing: `HELIOGRAPH_BILLING_<NAME>`."""

from pydantic import Field

from libs.runtime.settings import ServiceSettings


class BillingSettings(ServiceSettings):
    """What billing reads from the environment."""

    partitions: int = Field(1, ge=1, le=256, description="Number of partitions of READINGS.")
