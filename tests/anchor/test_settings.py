"""Settings, identity and the devnet's faucet."""

import base64
from collections.abc import Iterator

import httpx
import pytest
from stellar_sdk import Keypair

from libs.runtime.settings import SettingsError
from libs.stellar.errors import StellarUnavailable, UnexpectedAnswer
from libs.stellar.gateway import HorizonGateway
from services.anchor.app import streams_of
from services.anchor.faucet import DevnetFaucet
from services.anchor.settings import AnchorSettings
from tests import devnet_process
from tests.anchor.world import ACCOUNT, LOG_SEED
from tests.devnet_process import PASSPHRASE, DevnetProcess

GOOD = {
    "HELIOGRAPH_DEPLOYMENT": "demo",
    "HELIOGRAPH_ANCHOR_LOG_SEED": base64.b64encode(LOG_SEED).decode(),
    "HELIOGRAPH_ANCHOR_ACCOUNT_SEED": ACCOUNT.secret,
}


def test_settings_hide_their_seeds() -> None:
    settings = AnchorSettings.from_environment(GOOD)
    assert settings.log_seed_bytes == LOG_SEED
    assert (settings.interval_s, settings.friendbot) == (86_400, False)
    shown = str(settings.describe()) + repr(settings)
    assert ACCOUNT.secret not in shown
    assert GOOD["HELIOGRAPH_ANCHOR_LOG_SEED"] not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_SEED", "c2hvcnQ="),
        ("LOG_SEED", "not base64"),
        ("ACCOUNT_SEED", ACCOUNT.public_key),
        ("ACCOUNT_SEED", ACCOUNT.secret[:-1] + "A"),
        ("INTERVAL_S", "0"),
        ("FEE_STROOPS_MAX", "99"),
        ("PARTITIONS", "0"),
        ("HORIZON_URL", "ftp://x"),
    ],
)
def test_wrong_settings_are_named_and_not_repeated(name: str, value: str) -> None:
    variable = f"HELIOGRAPH_ANCHOR_{name}"
    with pytest.raises(SettingsError, match=variable) as error:
        AnchorSettings.from_environment({**GOOD, variable: value})
    if "SEED" in name:
        assert value not in str(error.value)


def test_streams() -> None:
    assert streams_of(["b"], 2) == (
        "READINGS_0",
        "READINGS_1",
        "METERS_0",
        "METERS_1",
        "MEMBERS",
        "PRICES",
        "LEDGER_b",
        "BILLING_b",
    )


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    running = devnet_process.start(tmp_path_factory.mktemp("devnet"))
    yield running
    running.stop()


async def test_the_faucet_creates_an_account_once(devnet: DevnetProcess) -> None:
    address, faucet = Keypair.random().public_key, DevnetFaucet(devnet.url, PASSPHRASE)
    await faucet.fund(address)
    await faucet.fund(address)
    async with HorizonGateway(devnet.url, network_passphrase=PASSPHRASE) as gateway:
        assert await gateway.account_sequence(address) > 0


async def test_the_faucet_asks_its_own_network_only(devnet: DevnetProcess) -> None:
    with pytest.raises(UnexpectedAnswer, match="another network"):
        await DevnetFaucet(devnet.url, "Public Global").fund(ACCOUNT.public_key)


async def test_the_faucet_asks_the_devnet_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real Horizon names another software: nothing is asked of its friendbot."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(
            200, json={"horizon_version": "23.0.0", "network_passphrase": PASSPHRASE}
        )

    client = httpx.AsyncClient
    monkeypatch.setattr(
        httpx, "AsyncClient", lambda **_: client(transport=httpx.MockTransport(answer))
    )
    with pytest.raises(UnexpectedAnswer, match="not the devnet"):
        await DevnetFaucet("http://horizon", PASSPHRASE).fund(ACCOUNT.public_key)
    assert asked == ["/"]


async def test_a_faucet_that_is_away() -> None:
    with pytest.raises(StellarUnavailable):
        await DevnetFaucet("http://127.0.0.1:9", PASSPHRASE).fund(ACCOUNT.public_key)
