"""Settings of the commands that prepare a broker: `HELIOGRAPH_BOOTSTRAP_<NAME>`."""

import json

from pydantic import Field, SecretStr

from heliograph.credentials import Credentials
from heliograph.errors import StackError
from heliograph.layout import PARTITIONS_MAX, Layout
from libs.events.ids import ID_PATTERN
from libs.runtime.settings import ServiceSettings


class BootstrapSettings(ServiceSettings):
    """What the bootstrap reads from the environment; the command's options win over it."""

    deployment: str = Field(
        "embedded", pattern=ID_PATTERN, description="Id of the installation; no stream holds it."
    )
    credentials: SecretStr = Field(
        description="Passwords of the broker's users: JSON, as in the stack's credentials.json."
    )
    partitions: int = Field(
        1, ge=1, le=PARTITIONS_MAX, description="Number of partitions of READINGS and METERS."
    )
    replicas: int = Field(1, description="Servers that keep a copy of each stream: 1, 3 or 5.")
    postgres_dsn: SecretStr | None = Field(
        None,
        description="Superuser's URI of a PostgreSQL in which database and roles are to be made.",
    )

    def layout(self) -> Layout:
        """Give the layout.

        Raises:
            StackError: It is impossible.
        """
        try:
            return Layout(
                books=self.all_books,
                partitions=self.partitions,
                replicas=self.replicas,
            )
        except ValueError as error:
            raise StackError(f"{error}.") from error

    def passwords(self) -> dict[str, str]:
        """Give the passwords by user.

        Raises:
            StackError: They are not written as they should be.
        """
        try:
            found = json.loads(self.credentials.get_secret_value())["passwords"]
            return Credentials(dict(found)).passwords
        except (ValueError, KeyError, TypeError) as error:
            raise StackError(
                'The credentials are no JSON of the form {"passwords": {"<user>": "<password>"}}.'
            ) from error
