"""Settings of the Teller: `HELIOGRAPH_TELLER_<NAME>`."""

import base64
import binascii
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from libs.events.ids import ID_PATTERN
from libs.events.metering import INTERVALS_MAX
from libs.runtime.settings import ServiceSettings

SEED_SIZE = 32
"""Bytes of the seed of an Ed25519 key."""

LOAD_W_MAX = 1_000_000_000
"""Largest constant load, in W."""


class TellerSettings(ServiceSettings):
    """What the Teller reads from the environment."""

    mqtt_host: str = Field("127.0.0.1", min_length=1, description="Host of the MQTT broker.")
    mqtt_port: int = Field(1883, ge=1, le=65535, description="Port of the MQTT broker.")
    mqtt_user: str | None = Field(None, description="The device's user at the broker.")
    mqtt_password: SecretStr | None = Field(None, description="The device's password there.")
    data: Path = Field(description="Folder of the outbox; it must survive restarts.")
    seed: SecretStr = Field(description="Seed of the signing key: 32 bytes in base64.")
    site: str = Field(pattern=ID_PATTERN, description="The site, as the meters are enrolled.")
    generation_meter: str = Field(
        pattern=ID_PATTERN, description="Meter that reports what the source measured."
    )
    consumption_meter: str | None = Field(
        None,
        pattern=ID_PATTERN,
        description="Meter that reports a constant load over the same time; none without it.",
    )
    source: Path = Field(description="CSV file of two columns with header: time and power in W.")
    time_zone: str | None = Field(
        None, description="IANA name of the zone of times without an offset, as America/Denver."
    )
    load_w: int = Field(500, ge=0, le=LOAD_W_MAX, description="The constant load, in W.")
    intervals_per_report: int = Field(
        24, ge=1, le=INTERVALS_MAX, description="Most intervals in one report."
    )

    gateway_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#]+/?$",
        description="Gateway that is asked for the supply of the holding; none: it is not asked.",
    )
    holding: str | None = Field(
        None, pattern=ID_PATTERN, description="The holding whose supply is switched here."
    )
    supply_poll_s: float = Field(
        60.0, ge=1, le=3_600, description="Seconds between two questions for the supply."
    )
    relay: Path | None = Field(
        None,
        description="File that takes 1 (load supplied) or 0 (load off), as GPIO lines in sysfs do.",
    )

    @model_validator(mode="after")
    def _check_supply(self) -> Self:
        if (self.gateway_url is None) != (self.holding is None):
            raise ValueError("GATEWAY_URL and HOLDING go together")
        if self.relay is not None and self.holding is None:
            raise ValueError("RELAY needs GATEWAY_URL and HOLDING")
        return self

    @field_validator("seed")
    @classmethod
    def _check_seed(cls, seed: SecretStr) -> SecretStr:
        try:
            raw = base64.b64decode(seed.get_secret_value(), validate=True)
        except binascii.Error:
            raw = b""
        if len(raw) != SEED_SIZE:
            raise ValueError("it must be 32 bytes in base64")
        return seed

    @property
    def seed_bytes(self) -> bytes:
        """The seed, 32 bytes."""
        return base64.b64decode(self.seed.get_secret_value())
