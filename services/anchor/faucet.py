"""Play money for the anchor's account, from the devnet's friendbot and from nowhere else."""

from typing import Final

import httpx

from libs.stellar.errors import StellarUnavailable, UnexpectedAnswer

TIMEOUT_S: Final = 10.0
"""A question to the friendbot waits at most so long."""

DEVNET_SOFTWARE: Final = "heliograph-devnet"
"""How the devnet's root names its software; a real Horizon never does."""


class DevnetFaucet:
    """The devnet's friendbot. Refuses to ask anything that does not say that it is the devnet."""

    def __init__(self, horizon_url: str, network_passphrase: str) -> None:
        """Name the server and the network that must be found there."""
        self._url, self._passphrase = horizon_url.rstrip("/"), network_passphrase

    async def fund(self, address: str) -> None:
        """Create an account; nothing happens when it exists.

        Raises:
            StellarUnavailable: No answer.
            UnexpectedAnswer: It is not the devnet, or another network.
        """
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                root = (await client.get(f"{self._url}/")).json()
                self._check(root)
                answer = await client.get(f"{self._url}/friendbot", params={"addr": address})
        except (httpx.HTTPError, OSError) as error:
            raise StellarUnavailable(f"{self._url} does not answer now.") from error
        except ValueError as error:
            raise UnexpectedAnswer(f"{self._url} does not answer in JSON.") from error
        if answer.is_success or "op_already_exists" in answer.text:
            return
        raise StellarUnavailable(f"The friendbot answered {answer.status_code}.")

    def _check(self, root: object) -> None:
        software = root.get("horizon_version") if isinstance(root, dict) else None
        passphrase = root.get("network_passphrase") if isinstance(root, dict) else None
        if not isinstance(software, str) or not software.startswith(DEVNET_SOFTWARE):
            raise UnexpectedAnswer(f"{self._url} is not the devnet: the anchor funds nothing here.")
        if passphrase != self._passphrase:
            raise UnexpectedAnswer(f"{self._url} serves another network: {passphrase!r}.")
