"""Settings of the gateway: `HELIOGRAPH_GATEWAY_<NAME>`."""

from pydantic import Field, SecretStr

from libs.runtime.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """What the gateway reads from the environment."""

    host: str = Field("127.0.0.1", description="Address on which the gateway is served.")
    port: int = Field(
        3000,
        ge=0,
        le=65535,
        description="Port on which the gateway is served; 0 lets the system choose.",
    )
    postgres_dsn: SecretStr = Field(
        SecretStr("postgresql://gateway@127.0.0.1:5432/heliograph"),
        description="Where Postgres is, as a connection URI, for a role that may only read.",
    )
    schema_name: str = Field(
        "heliograph",
        pattern=r"^[a-z][a-z0-9_]{0,40}$",
        description="Name of the Postgres schema that holds the views.",
    )
    connections: int = Field(8, ge=2, le=64, description="Most connections to Postgres.")
    payee: str = Field(
        "",
        pattern=r"^(?:G[A-Z2-7]{55})?$",
        description="Stellar address that payment codes on bills name; empty: they name the "
        "agreement alone.",
    )
    statement_timeout_s: float = Field(
        5.0, gt=0, le=60, description="Seconds after which Postgres gives up a question."
    )
    command_timeout_s: float = Field(
        10.0, gt=0, le=60, description="Seconds that a service has to answer a command."
    )
    views_timeout_s: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Seconds that the views have to show what a command led to.",
    )
    listeners: int = Field(
        200, ge=1, le=10_000, description="Most listeners of the live feed at once."
    )
