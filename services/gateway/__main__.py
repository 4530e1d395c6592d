"""`python -m services.gateway`: the gateway as a process."""

from libs.runtime.process import run
from services.gateway.app import build
from services.gateway.settings import GatewaySettings

if __name__ == "__main__":
    run(GatewaySettings, build)
