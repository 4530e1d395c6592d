"""Settings of the projection: `HELIOGRAPH_PROJECTION_<NAME>`."""

from typing import Final

from pydantic import Field, SecretStr

from libs.events.subjects import FAMILIES
from libs.runtime.settings import ServiceSettings

PARTITIONS_MAX: Final = 256
"""Most partitions of readings and meters."""


class ProjectionSettings(ServiceSettings):
    """What the projection reads from the environment."""

    postgres_dsn: SecretStr = Field(
        SecretStr("postgresql://heliograph@127.0.0.1:5432/heliograph"),
        description="Where Postgres is, as a connection URI, for the role that owns the views.",
    )
    schema_name: str = Field(
        "heliograph",
        pattern=r"^[a-z][a-z0-9_]{0,40}$",
        description="Name of the Postgres schema that holds the views.",
    )
    reader_role: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9_]{0,40}$",
        description="A Postgres role that may read the views, such as the gateway's.",
    )
    partitions: int = Field(
        1, ge=1, le=PARTITIONS_MAX, description="Number of partitions of READINGS and METERS."
    )
    statement_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Seconds after which Postgres gives up a statement."
    )

    def fact_streams(self) -> tuple[str, ...]:
        """Name every fact stream that is projected."""
        parts = [str(number) for number in range(self.partitions)]
        of = {"partition": parts, "book": self.all_books, "nothing": [""]}
        return tuple(
            family.stream(part) for family in FAMILIES.values() for part in of[family.parted_by]
        )
