"""Commands against a real nats-server: both ways of subscribing keep the same contract."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from libs.runtime.broker import connect, disconnect
from libs.runtime.commands import (
    Handle,
    command_subject,
    serve_commands_faststream,
)
from libs.runtime.failures import FencedOff, NotYet, Poison, Refused, gravest
from libs.runtime.health import Health
from libs.runtime.hot_commands import Deliver, Request, Take, serve_commands_plain
from libs.runtime.settings import ServiceSettings
from tests.servers import NatsServer

SUBJECT = command_subject("sample", "pilot")


Serve = Callable[[ServiceSettings, Handle, Health, asyncio.Event], Awaitable[None]]


async def serve_plain(
    settings: ServiceSettings, handle: Handle, health: Health, stop: asyncio.Event
) -> None:
    client = await connect(settings, health)
    async with asyncio.TaskGroup() as group:
        try:
            take = one_by_one(handle, group)
            await serve_commands_plain(
                client, SUBJECT, take, health=health, stop=stop, max_pending=3
            )
        finally:
            await disconnect(client)


def one_by_one(handle: Handle, group: asyncio.TaskGroup) -> Take:
    """Take commands as a desk would, but with a task for each."""

    async def answer(request: Request, deliver: Deliver) -> None:
        try:
            found: bytes | Exception = await handle(request.data, request.headers)
        except Exception as error:  # noqa: BLE001 - every failure is delivered
            found = error
        deliver([(request, found)])

    async def take(requests: Sequence[Request], deliver: Deliver) -> None:
        for request in requests:
            group.create_task(answer(request, deliver))

    return take


async def serve_faststream(
    settings: ServiceSettings, handle: Handle, health: Health, stop: asyncio.Event
) -> None:
    await serve_commands_faststream(settings, SUBJECT, handle, health=health, stop=stop)


@asynccontextmanager
async def serving(
    serve: Serve, settings: ServiceSettings, handle: Handle, health: Health
) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.ensure_future(serve(settings, handle, health, stop))
    async with asyncio.timeout(5):
        while not health.is_ready() and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)


both = pytest.mark.parametrize("serve", [serve_plain, serve_faststream])


async def echo(data: bytes, headers: Mapping[str, str]) -> bytes:
    return data


async def ask(asker: Client, data: bytes = b"", **headers: str) -> Msg:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asker.request(SUBJECT, data, timeout=3, headers=found or None)


async def problem(asker: Client, data: bytes = b"") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((await ask(asker, data)).data)
    return document


@both
async def test_bytes_go_in_and_come_out_unchanged_whatever_the_content_type(
    serve: Serve, nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    async with serving(serve, nats_settings, echo, health):
        for data in (
            b"eyJ.e30.c2ln",
            b"",
            b"\x00\xff\n",
            b'{"a": ',
            b'{"a":1}',
            b"7",
            b"x" * 500_000,
        ):
            for content_type in ("", "application/json", "text/plain", "application/cbor"):
                headers = {"content_type": content_type} if content_type else {}
                assert (await ask(asker, data, **headers)).data == data

    assert health.counters["commands-answered"] == 28


@both
async def test_the_answer_has_no_headers_and_no_wrapping(
    serve: Serve, nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        return json.dumps(dict(headers)).encode()

    async with serving(serve, nats_settings, handle, health):
        answer = await ask(asker, b"x", traceparent="00-1", Other="two")
        bare = await ask(asker, b"x")

    assert (json.loads(answer.data), answer.headers) == (
        {"traceparent": "00-1", "Other": "two"},
        None,
    )
    assert (bare.data, bare.headers) == (b"{}", None)


@both
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Refused("too-little", "Less.", field="body.amount"), 422, "too-little"),
        (NotYet("behind", "Not read that far."), 503, "behind"),
        (Poison("not-a-jws", "Three parts are needed."), 400, "not-a-jws"),
        (TimeoutError(), 503, "unavailable"),
    ],
)
async def test_an_error_of_a_request_is_answered_and_the_next_request_too(
    serve: Serve,
    nats_settings: ServiceSettings,
    asker: Client,
    health: Health,
    error: Exception,
    status: int,
    code: str,
) -> None:
    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        if data == b"bad":
            raise error
        return b"good"

    async with serving(serve, nats_settings, handle, health) as task:
        document = await problem(asker, b"bad")
        assert (document["status"], document["code"]) == (status, code)
        assert (await ask(asker, b"")).data == b"good"
        assert not task.done()


@both
@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("inner workings"), 500), (FencedOff("fenced", "Other."), 503)]
)
async def test_what_must_end_the_process_is_answered_first_and_raised_then(
    serve: Serve,
    nats_settings: ServiceSettings,
    asker: Client,
    health: Health,
    error: Exception,
    status: int,
) -> None:
    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        raise error

    async with serving(serve, nats_settings, handle, health) as task:
        document = await problem(asker)
        await asyncio.wait({task}, timeout=3)

    assert document["status"] == status
    assert "inner" not in str(document)
    raised = task.exception()
    assert raised is not None
    assert gravest(raised) is error


@both
async def test_an_answer_that_is_too_large_is_answered_as_our_bug(
    serve: Serve, nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        return b"x" * 2_000_000

    async with serving(serve, nats_settings, handle, health) as task:
        document = await problem(asker)
        await asyncio.wait({task}, timeout=3)

    assert (document["status"], document["code"]) == (500, "answer-too-large")
    assert task.exception() is not None


@both
async def test_only_inboxes_are_answered(
    serve: Serve, nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    handled: list[bytes] = []

    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        handled.append(data)
        return data

    answers: list[str] = []

    async def on_answer(message: Msg) -> None:
        answers.append(message.subject)

    await asker.subscribe(">", cb=on_answer)
    inboxes = ["_INBOX.abc.1", "_INBOX.x"]
    replies = ["", "ledger.pilot.x.EnergyMinted", "$JS.API.STREAM.PURGE.X", "_INBOXES.1", "x._R_.1"]
    async with serving(serve, nats_settings, handle, health):
        for reply in [*replies, *inboxes]:
            await asker.publish(SUBJECT, reply.encode(), reply=reply)
        await ask(asker, b"last")
        await asker.flush()

    assert handled == [b"_INBOX.abc.1", b"_INBOX.x", b"last"]
    assert not {*replies} & {*answers}
    assert {*inboxes} <= {*answers}
    assert health.counters["commands-ignored"] == len(replies)


ACCOUNTS = """
accounts {
  CORE {
    users: [{user: sample, password: secret}]
    exports: [{service: "commands.>"}]
  }
  GATE {
    users: [{user: gateway, password: secret}]
    imports: [{service: {account: CORE, subject: "commands.>"}}]
  }
}
"""


@both
async def test_a_request_from_another_account_is_answered(
    serve: Serve, nats_settings: ServiceSettings, health: Health, tmp_path: Path
) -> None:
    with NatsServer(tmp_path / "accounts", ACCOUNTS) as server:
        here = nats_settings.model_copy(update={"nats_url": server.url})
        async with serving(serve, here, echo, health):
            gateway = await nats.connect(server.url, user="gateway", password="secret")
            assert (await ask(gateway, b"through the import")).data == b"through the import"
            await gateway.close()


@both
async def test_it_answers_again_after_the_server_was_away(
    serve: Serve,
    nats_settings: ServiceSettings,
    server: NatsServer,
    asker: Client,
    health: Health,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libs.runtime.broker.RECONNECT_WAIT_S", 0.05)
    async with serving(serve, nats_settings, echo, health) as task:
        for _ in range(2):
            server.kill()
            async with asyncio.timeout(3):
                while health.is_ready():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(5):
                while True:
                    with contextlib.suppress(NoRespondersError, TimeoutError):
                        assert (
                            await asker.request(SUBJECT, b"again", timeout=0.2)
                        ).data == b"again"
                        break
                    await asyncio.sleep(0.02)
            assert health.is_ready()
        assert not task.done()


@both
async def test_a_stop_lets_the_command_under_way_finish(
    serve: Serve, nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    begun, free = asyncio.Event(), asyncio.Event()

    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        begun.set()
        await free.wait()
        return b"done"

    async with serving(serve, nats_settings, handle, health):
        asking = asyncio.ensure_future(ask(asker))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, free.set)

    assert (await asking).data == b"done"
    with pytest.raises(NoRespondersError):
        await ask(asker)


@both
async def test_commands_that_came_before_the_stop_are_all_answered(
    serve: Serve, nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    begun, free = asyncio.Event(), asyncio.Event()

    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        begun.set()
        await free.wait()
        return b"done"

    async with serving(serve, nats_settings, handle, health):
        asking = [asyncio.ensure_future(ask(asker)) for _ in range(10)]
        await begun.wait()
        await asker.flush()
        asyncio.get_running_loop().call_later(0.05, free.set)
    answers = [(await answer).data for answer in asking]

    assert answers[0] == b"done"
    assert {answer if answer == b"done" else json.loads(answer)["code"] for answer in answers} <= {
        b"done",
        "busy",
        "stopping",
    }


@both
async def test_a_stop_while_the_server_is_away_is_no_failure(
    serve: Serve, nats_settings: ServiceSettings, server: NatsServer, health: Health
) -> None:
    async with serving(serve, nats_settings, echo, health) as task:
        server.kill()
        while health.is_ready():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert task.exception() is None


@both
async def test_a_handler_that_answers_with_no_bytes_is_our_bug(
    serve: Serve, nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    async def handle(data: bytes, headers: Mapping[str, str]) -> Any:
        return None

    async with serving(serve, nats_settings, handle, health) as task:
        assert (await problem(asker))["code"] == "internal-error"
        await asyncio.wait({task}, timeout=3)

    assert task.exception() is not None


async def test_a_full_queue_is_answered_busy_and_drains_in_order(
    nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    free, order = asyncio.Event(), list[bytes]()

    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        order.append(data)
        await free.wait()
        return data

    async with serving(serve_plain, nats_settings, handle, health):
        asking = [asyncio.ensure_future(ask(asker, b"%d" % number)) for number in range(3)]
        while len(order) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        busy = await problem(asker, b"too many")
        free.set()
        answers = [(await answer).data for answer in asking]
        assert (await ask(asker, b"room again")).data == b"room again"

    assert (busy["code"], busy["failure"], busy["status"]) == ("busy", "transient", 503)
    assert busy["retry_after_s"] == 1
    assert order == [b"0", b"1", b"2", b"room again"]
    assert answers == [b"0", b"1", b"2"]
    assert health.counters["commands-busy"] == 1


async def test_commands_cut_off_by_a_failure_are_told_to_come_again(
    nats_settings: ServiceSettings, asker: Client, health: Health
) -> None:
    async def handle(data: bytes, headers: Mapping[str, str]) -> bytes:
        if data == b"bug":
            raise ValueError(data)
        await asyncio.sleep(60)
        return data

    async with serving(serve_plain, nats_settings, handle, health) as task:
        waiting = asyncio.ensure_future(problem(asker, b"wait"))
        await asyncio.sleep(0.05)
        await problem(asker, b"bug")
        await asyncio.wait({task}, timeout=3)

    assert (await waiting)["code"] == "stopping"
