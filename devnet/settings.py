"""Settings of the devnet, read once from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`HELIOGRAPH_DEVNET_HOST`, `_PORT`, `_DATA`, `_PASSPHRASE` and `_PLAYED`."""

    model_config = SettingsConfigDict(env_prefix="HELIOGRAPH_DEVNET_", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on. The devnet has no access control: keep it on this machine."""
    port: int = Field(default=8000, ge=0, le=65_535)
    """Port to listen on; 0 lets the system choose, and the line at start says which."""
    data: Path = Path(".heliograph/devnet")
    """Folder of the database; it is created."""
    passphrase: str = Field(default="Heliograph Devnet ; 2026", min_length=1, max_length=256)
    """Name of the network; a data folder belongs to one."""
    played: bool = False
    """Whether the close time is set through `POST /admin/time` instead of read from the clock."""
