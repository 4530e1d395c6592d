"""What the routes work with: made once by the wiring, read by every request."""

from dataclasses import dataclass

from nats.aio.client import Client

from libs.runtime.failures import Transient
from libs.runtime.health import Health
from services.gateway.commands import Desk
from services.gateway.database import Views
from services.gateway.live import LiveFeed
from services.gateway.settings import GatewaySettings


@dataclass(slots=True)
class State:
    """The parts of a running gateway."""

    settings: GatewaySettings
    """Settings."""
    health: Health
    """How the parts are."""
    views: Views
    """The views in Postgres."""
    feed: LiveFeed
    """The live feed."""
    nats: Client | None = None
    """The broker; `None` where commands are not taken."""

    def client(self) -> Client:
        """Give the connection to the broker.

        Raises:
            Transient: It is away.
        """
        if self.nats is None or not self.nats.is_connected:
            raise Transient("broker-away", "The broker does not answer. Try again.")
        return self.nats

    def desk(self) -> Desk:
        """Give where commands are passed on.

        Raises:
            Transient: The broker is away.
        """
        return Desk(self.client(), self.settings.all_books, self.settings.command_timeout_s)
