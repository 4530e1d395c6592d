"""Settings of the anchor: `HELIOGRAPH_ANCHOR_<NAME>`."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from stellar_sdk import Keypair
from stellar_sdk.exceptions import Ed25519SecretSeedInvalidError

from libs.runtime.settings import ServiceSettings

SEED_SIZE = 32
"""Length of an Ed25519 seed, in bytes."""


def _checked_seed(secret: SecretStr) -> SecretStr:
    """Refuse what is not the base64 of 32 bytes; the value is never repeated."""
    try:
        seed = base64.b64decode(secret.get_secret_value(), validate=True)
    except binascii.Error:
        seed = b""
    if len(seed) != SEED_SIZE:
        raise ValueError("it is not the base64 of 32 bytes")
    return secret


def _checked_account(secret: SecretStr) -> SecretStr:
    """Refuse what is no secret seed of Stellar."""
    try:
        Keypair.from_secret(secret.get_secret_value())
    except (Ed25519SecretSeedInvalidError, ValueError):
        raise ValueError("it is not a secret seed of Stellar (S and 55 more)") from None
    return secret


class AnchorSettings(ServiceSettings):
    """What the anchor reads from the environment."""

    horizon_url: str = Field(
        "http://127.0.0.1:8000",
        pattern=r"^https?://[^\s@]+$",
        description="Where Horizon, or the devnet, is.",
    )
    network_passphrase: str = Field(
        "Heliograph Devnet ; 2026",
        min_length=1,
        max_length=200,
        description="Passphrase of the network that must be found there.",
    )
    log_seed: Annotated[SecretStr, AfterValidator(_checked_seed)] = Field(
        description="Seed of the key that signs checkpoints: base64 of 32 bytes."
    )
    account_seed: Annotated[SecretStr, AfterValidator(_checked_account)] = Field(
        description="Secret seed (S...) of the anchor's account; its own, never an escrow's."
    )
    friendbot: bool = Field(
        default=False,
        description="Fund a missing account; works on the devnet only, never on a public network.",
    )
    interval_s: int = Field(
        86_400,
        ge=60,
        le=31 * 86_400,
        description="Seconds of domain time between rounds; rounds fall on multiples since 1970.",
    )
    partitions: int = Field(
        1, ge=1, le=256, description="Number of partitions of READINGS and METERS."
    )
    fee_stroops_max: int = Field(
        100_000,
        ge=100,
        le=100_000_000,
        description="Highest bid for a round's transaction, in stroops.",
    )

    @property
    def log_seed_bytes(self) -> bytes:
        """The seed of the key that signs checkpoints, 32 bytes."""
        return base64.b64decode(self.log_seed.get_secret_value())
