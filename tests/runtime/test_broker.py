"""The connection to NATS: why it could not be made, and who may close it."""

import asyncio

import pytest
from pydantic import SecretStr

from libs.runtime.broker import connect, disconnect
from libs.runtime.failures import Transient
from libs.runtime.health import Health
from libs.runtime.settings import ServiceSettings


async def test_a_connection_that_is_refused_at_start_says_why(
    nats_settings: ServiceSettings, health: Health
) -> None:
    wrong = nats_settings.model_copy(
        update={"nats_password": SecretStr("wrong"), "start_timeout_s": 0.3}
    )
    with pytest.raises(Transient, match="uthorization"):
        await connect(wrong, health)

    assert not health.is_ready()


async def test_a_connection_closed_by_the_server_for_good_ends_the_process(
    nats_settings: ServiceSettings, health: Health
) -> None:
    client = await connect(nats_settings, health)
    await client._process_err("'Authorization Violation'")

    async with asyncio.timeout(3):
        with pytest.raises(Transient) as caught:
            await health.given_up()
    assert caught.value.code == "nats-closed"


async def test_a_connection_closed_by_us_ends_nothing(
    nats_settings: ServiceSettings, health: Health
) -> None:
    for _ in range(2):
        client = await connect(nats_settings, health)
        await disconnect(client)
        await disconnect(client)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await health.given_up()
