"""Settings of the oracle: `HELIOGRAPH_ORACLE_<NAME>`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from libs.events.quantities import Instant
from libs.runtime.settings import ServiceSettings


class OracleSettings(ServiceSettings):
    """What the oracle reads from the environment."""

    partitions: int = Field(1, ge=1, le=256, description="Number of partitions of READINGS.")
    played_from: Annotated[Instant | None, Field()] = Field(
        None, description="First time of a played clock, YYYY-MM-DDTHH:MM:SSZ; needs PLAYED_TIME."
    )
    cadence_s: int = Field(
        60, ge=1, le=86_400, description="Seconds between two TimeAdvanced of the real clock."
    )
    sources: Path | None = Field(
        None,
        description="File of the sources of prices and rates that this process looks at, TOML or "
        "JSON (docs/prices.md).",
    )
