"""The supervisor of the embedded stack: whatever dies comes back, and nobody is left behind.

Services are small programs here; broker and database are real where they matter.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import asyncpg
import nats
import pytest

import heliograph
from heliograph.errors import StackError
from heliograph.folder import Folder, Lock, holder
from heliograph.layout import Layout
from heliograph.parts import StackEvent, What
from heliograph.processes import Command, end, plain_environment, spawn
from heliograph.stack import ServiceProcess, Stack, StackOptions
from tests.embedded.fakes import all_gone, healthy, is_alive, processes_in, program, until


def options(data: Path, *services: object, **more: object) -> StackOptions:
    made: dict[str, object] = {"data": data, "services": services, "infrastructure": ()}
    made |= {"gateway_port": 0, "start_timeout_s": 20.0}
    return StackOptions(**{**made, **more})  # type: ignore[arg-type]


async def test_a_process_that_dies_is_started_again_and_reported(tmp_path: Path) -> None:
    events: list[StackEvent] = []
    both = healthy("alpha", "beta")
    async with Stack(options(tmp_path, *both, on_event=events.append)) as stack:
        before = dict(stack.pids)
        stack.kill("alpha")
        assert not stack.is_ready("alpha")
        await stack.wait_ready()
        assert stack.pids["alpha"] != before["alpha"]
        assert stack.pids["beta"] == before["beta"]
        assert stack.restarts == {"alpha": 1, "beta": 0}
        assert is_alive(stack.pids["alpha"] or 0)
    died = [event for event in events if event.what is What.DIED]
    assert [(event.part, event.restarts) for event in died] == [("alpha", 1)]
    assert died[0].detail == "killed by SIGKILL; starts again in 0.1 s"
    assert {event.part for event in events if event.what is What.STOPPED} == {"alpha", "beta"}
    assert not processes_in(tmp_path)


async def test_the_delay_grows_while_it_keeps_dying(tmp_path: Path) -> None:
    events: list[StackEvent] = []
    dying = program("dying", "import sys; print('no luck'); sys.exit(7)")
    with pytest.raises(StackError, match=r"(?s)Not ready after 2 s: dying\..*no luck"):
        async with Stack(options(tmp_path, dying, on_event=events.append, start_timeout_s=2.0)):
            pytest.fail("it is not ready")
    delays = [event.detail for event in events if event.what is What.DIED]
    starts = ["0.1", "0.2", "0.4", "0.8"]
    expected = [f"exit code 7; starts again in {delay} s" for delay in starts]
    assert delays[:3] == expected[:3]
    assert not processes_in(tmp_path)


async def test_a_standby_starts_when_the_others_are_ready(tmp_path: Path) -> None:
    events: list[StackEvent] = []
    first, second = healthy("alpha-standby", "alpha")
    async with Stack(options(tmp_path, first, second, on_event=events.append)) as stack:
        assert set(stack.pids) == {"alpha", "alpha-standby"}
        assert all(stack.pids.values())
    ready = [event.part for event in events if event.what is What.READY]
    assert ready == ["alpha", "alpha-standby"]


async def test_unusable_settings_end_the_start_at_once(tmp_path: Path) -> None:
    wrong = program("wrong", "import sys; print('HELIOGRAPH_X: it is not set'); sys.exit(2)")
    began = time.monotonic()
    with pytest.raises(StackError, match=r"(?s)wrong cannot start \(exit code 2\).*X: it is not"):
        async with Stack(options(tmp_path, *healthy("alpha"), wrong)):
            pytest.fail("it is not ready")
    assert time.monotonic() - began < 10
    assert not processes_in(tmp_path)


async def test_a_program_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    missing = ServiceProcess("missing", ("/no/such/program",))
    with pytest.raises(StackError, match="/no/such/program"):
        async with Stack(options(tmp_path, missing)):
            pytest.fail("it is not ready")


async def test_a_service_that_is_declared_down_stays_down_until_it_is_started(
    tmp_path: Path,
) -> None:
    async with Stack(options(tmp_path, *healthy("alpha", "beta"))) as stack:
        await stack.stop_service("alpha")
        assert stack.pids["alpha"] is None
        await asyncio.sleep(0.3)
        await stack.wait_ready()
        assert stack.pids["alpha"] is None
        await stack.start_service("alpha")
        assert stack.is_ready("alpha")
        assert stack.restarts == {"alpha": 0, "beta": 0}
        with pytest.raises(StackError, match="no 'gamma' in this stack"):
            await stack.stop_service("gamma")


async def test_the_error_of_the_caller_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with Stack(options(tmp_path, *healthy("alpha"))):
            raise LookupError("mine")
    assert not processes_in(tmp_path)


async def test_cancelling_the_start_leaves_nothing_running(tmp_path: Path) -> None:
    never = program("never", "import time; time.sleep(60)")

    async def run() -> None:
        async with Stack(options(tmp_path, never)):
            pytest.fail("it is not ready")

    task = asyncio.ensure_future(run())
    await until(lambda: processes_in(tmp_path))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not processes_in(tmp_path)
    assert holder(Folder(tmp_path).lock) is None


async def test_a_second_start_on_the_same_folder_is_refused_by_name(tmp_path: Path) -> None:
    async with Stack(options(tmp_path, *healthy("alpha"))) as stack:
        with pytest.raises(StackError, match=rf"already runs on .* \(process {os.getpid()}\)"):
            async with Stack(options(tmp_path, *healthy("alpha"))):
                pytest.fail("it must not start")
        assert stack.is_ready("alpha")
    async with Stack(options(tmp_path, *healthy("alpha"))):
        pass


async def test_ports_and_passwords_are_kept_and_a_taken_port_is_replaced(tmp_path: Path) -> None:
    async with Stack(options(tmp_path, *healthy("alpha"))) as stack:
        ports, passwords = dict(stack.ports), dict(stack.credentials.passwords)
        seeds = dict(stack.credentials.seeds)
    kept = tmp_path / "credentials.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    with socket.create_server(("127.0.0.1", ports["health-alpha"])):
        async with Stack(options(tmp_path, *healthy("alpha"))) as stack:
            assert stack.ports["health-alpha"] != ports["health-alpha"]
            assert stack.ports["nats"] == ports["nats"]
            assert stack.credentials.passwords == passwords
            assert stack.credentials.seeds == seeds
    assert not any(password in repr(stack.credentials) for password in passwords.values())


async def test_the_gateway_takes_another_port_and_says_so(tmp_path: Path) -> None:
    events: list[StackEvent] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asked = options(tmp_path, gateway_port=port, on_event=events.append)
        async with Stack(asked) as stack:
            given = stack.ports["gateway"]
            assert given != port
            assert stack.urls.gateway == f"http://127.0.0.1:{given}"
    note = f"port {port} is taken by another program; the gateway answers at {stack.urls.gateway}"
    assert [event.detail for event in events] == [note]


async def test_a_port_that_was_asked_for_and_is_taken_refuses_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asked = options(tmp_path, gateway_port=port, gateway_port_only=True)
        with pytest.raises(StackError, match=f"port {port} is taken by another program: stop it"):
            async with Stack(asked):
                pytest.fail("it must not start")
    assert not (tmp_path / "credentials.json").exists()
    async with Stack(asked) as stack:
        assert stack.ports["gateway"] == port


PARK = Layout(books=("park",))
OTHER = "choose another folder"
BOTH = "deployment 'demo', not 'embedded' and book 'park', not 'pilot'"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "book 'park', not 'pilot': start with --book park."),
        (
            {"layout": PARK, "deployment": "other"},
            f"deployment 'demo', not 'other': {OTHER}, or start with --deployment demo.",
        ),
        (
            {"deployment": "embedded"},
            f"{BOTH}: {OTHER}, or start with --deployment demo --book park.",
        ),
        (
            {"layout": Layout(books=("park",), partitions=2)},
            f"partitions 1, not 2: {OTHER}.",
        ),
        (
            {"layout": Layout(books=("park", "pilot"))},
            "book 'park', not 'park', 'pilot': start with --book park.",
        ),
    ],
)
async def test_a_folder_belongs_to_one_deployment_its_books_and_a_number_of_partitions(
    tmp_path: Path, asked: dict[str, object], says: str
) -> None:
    async with Stack(options(tmp_path, layout=PARK, deployment="demo")):
        pass
    before = contents(tmp_path)
    with pytest.raises(StackError) as refused:
        async with Stack(options(tmp_path, **{"deployment": "demo", **asked})):
            pytest.fail("it must not start")
    assert str(refused.value) == f"The data in {tmp_path} belong to {says}"
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What every file of a folder holds, and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


async def test_a_folder_of_two_books_cannot_be_told_by_an_option(tmp_path: Path) -> None:
    async with Stack(options(tmp_path, layout=Layout(books=("valley", "pilot")))):
        pass
    with pytest.raises(StackError, match=f"books 'pilot', 'valley', not 'pilot': {OTHER}\\.$"):
        async with Stack(options(tmp_path)):
            pytest.fail("it must not start")
    async with Stack(options(tmp_path, layout=Layout(books=("pilot", "valley")))):
        pass


async def test_a_folder_that_does_not_note_its_books_tells_them_by_its_streams(
    tmp_path: Path,
) -> None:
    async with Stack(options(tmp_path, layout=PARK, infrastructure=("broker",))):
        pass
    state = json.loads((tmp_path / "stack.json").read_text())
    assert state.pop("books") == ["park"]
    (tmp_path / "stack.json").write_text(json.dumps(state))
    with pytest.raises(StackError, match="book 'park', not 'pilot': start with --book park"):
        async with Stack(options(tmp_path)):
            pytest.fail("it must not start")
    async with Stack(options(tmp_path, layout=PARK)):
        pass
    assert json.loads((tmp_path / "stack.json").read_text())["books"] == ["park"]


async def test_logs_are_kept_with_one_of_the_time_before(tmp_path: Path) -> None:
    for _ in range(3):
        async with Stack(options(tmp_path, *healthy("alpha"))):
            pass
    log = Folder(tmp_path).log("alpha")
    assert log.read_text() == "serving\n"
    assert log.with_name("alpha.log.1").read_text() == "serving\n"
    assert sorted(path.name for path in log.parent.iterdir()) == ["alpha.log", "alpha.log.1"]


async def test_what_an_ended_process_left_behind_is_ended_too(tmp_path: Path) -> None:
    parent = """
import os, subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
"""
    stack = Stack(options(tmp_path, program("parent", parent), start_timeout_s=1.0))
    with pytest.raises(StackError):
        async with stack:
            pass
    children = [int(line) for line in stack.log("parent").read_text().split()]
    assert children
    assert all_gone(children)


async def test_whoever_does_not_listen_is_killed_when_his_time_is_over(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN); print('on', flush=True)\n"
    stubborn += "import time; time.sleep(60)"
    command = Command(
        argv=(sys.executable, "-c", stubborn), environment=plain_environment(), stop_s=0.3
    )
    log = tmp_path / "log"
    process = await spawn(command, log, tmp_path)
    await until(lambda: "on" in log.read_text())
    assert not await end(process, command)
    assert process.returncode == -signal.SIGKILL


def test_a_lock_says_who_holds_it_and_is_free_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    with Lock(path):
        assert holder(path) == os.getpid()
    assert holder(path) is None
    path.write_text("12345\n")
    assert holder(path) is None, "a number alone proves nothing"


# The supervisor as a process of its own.

SUPERVISOR = """
import asyncio, json, signal, sys
from pathlib import Path
from heliograph.stack import ServiceProcess, Stack, StackOptions
from tests.embedded.fakes import healthy

async def main():
    infrastructure = json.loads(sys.argv[2])
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    options = StackOptions(
        data=Path(sys.argv[1]), services=healthy("alpha", "beta"), gateway_port=0,
        infrastructure=infrastructure,
    )
    try:
        async with Stack(options) as stack:
            print(json.dumps(stack.pids), flush=True)
            await loop.create_future()
    except asyncio.CancelledError:
        print("stopped", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def supervisors() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def supervise(
    started: list[subprocess.Popen[str]], data: Path, *infrastructure: str
) -> tuple[subprocess.Popen[str], dict[str, int]]:
    root = str(Path(heliograph.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(data), json.dumps(infrastructure)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    return process, json.loads(_out(process).readline())


def _out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def test_a_killed_supervisor_leaves_no_child_and_its_data_are_recovered(
    tmp_path: Path, supervisors: list[subprocess.Popen[str]]
) -> None:
    process, pids = supervise(supervisors, tmp_path, "broker", "postgres", "devnet")
    assert set(pids) == {"broker", "postgres", "devnet", "alpha", "beta"}
    assert all(is_alive(pid) for pid in pids.values())
    everybody = processes_in(tmp_path)
    assert len(everybody) > len(pids), "the database has processes of its own"
    process.kill()
    process.wait()
    assert all_gone(everybody)
    asyncio.run(_recovers(tmp_path))


async def _recovers(data: Path) -> None:
    infrastructure = ("broker", "postgres")
    async with Stack(options(data, infrastructure=infrastructure)) as stack:
        assert stack.restarts == {"broker": 0, "postgres": 0}
        connection = await asyncpg.connect(stack.urls.postgres)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        await connection.close()
        await _publish(stack)
    async with Stack(options(data, infrastructure=infrastructure)) as stack:
        for name in infrastructure:
            stack.kill(name)
        await stack.wait_ready()
        connection = await asyncpg.connect(stack.urls.postgres_reader)
        assert await connection.fetchval("SELECT n FROM kept") == 42
        await connection.close()
        assert await _publish(stack) == 2


async def _publish(stack: Stack) -> int:
    """Append to MEMBERS as its writer; gives the position."""
    client = await nats.connect(
        stack.urls.nats, user="ledger", password=stack.credentials.passwords["ledger"]
    )
    answer = await client.request("members.somebody.MemberRegistered", b"{}", timeout=5)
    await client.close()
    return int(json.loads(answer.data)["seq"])


def test_a_supervisor_that_is_asked_to_stop_stops_all(
    tmp_path: Path, supervisors: list[subprocess.Popen[str]]
) -> None:
    process, pids = supervise(supervisors, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert _out(process).read() == "stopped\n"
    assert process.wait(timeout=10) == 0
    assert not any(is_alive(pid) for pid in pids.values())


def test_a_supervisor_that_is_asked_twice_kills(
    tmp_path: Path, supervisors: list[subprocess.Popen[str]]
) -> None:
    process, pids = supervise(supervisors, tmp_path)
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)  # so that nobody hears the first time
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
    assert not any(is_alive(pid) for pid in pids.values())
