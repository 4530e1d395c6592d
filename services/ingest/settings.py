"""Settings of ingest: `HELIOGRAPH_INGEST_<NAME>`."""

from pydantic import Field, SecretStr

from libs.runtime.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """What ingest reads from the environment."""

    partition: int = Field(0, ge=0, le=255, description="The partition that this process writes.")
    partitions: int = Field(1, ge=1, le=256, description="Number of partitions of READINGS.")
    edge_url: str | None = Field(
        None,
        pattern=r"^(nats|tls|ws|wss)://[^\s@]+$",
        description="Where the account of the devices is; without it, NATS_URL.",
    )
    edge_user: str | None = Field(None, description="User name in the account of the devices.")
    edge_password: SecretStr | None = Field(
        None, description="Password in the account of the devices."
    )
    batch: int = Field(400, ge=1, le=400, description="Most reports that are decided at once.")
