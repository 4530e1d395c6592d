"""Small programs in place of services, and looks at what runs."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from heliograph.stack import ServiceProcess

SERVES_HEALTH = """
import http.server, os, signal, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
    def log_message(self, *_): pass
name = [n for n in os.environ if n.startswith("HELIOGRAPH_") and n.endswith("_HEALTH_PORT")][0]
server = http.server.HTTPServer(("127.0.0.1", int(os.environ[name])), Health)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving", flush=True)
server.serve_forever()
"""
"""Ready at once; leaves on SIGTERM."""


def healthy(*names: str) -> tuple[ServiceProcess, ...]:
    return tuple(ServiceProcess(name, (sys.executable, "-c", SERVES_HEALTH)) for name in names)


def program(name: str, source: str) -> ServiceProcess:
    return ServiceProcess(name, (sys.executable, "-c", source))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def processes_in(folder: Path) -> list[int]:
    """The processes that work below a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


async def until(true: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.02)


def all_gone(pids: Iterable[int], within_s: float = 5.0) -> bool:
    """Whether the processes end in time."""
    waiting, deadline = set(pids), time.monotonic() + within_s
    while waiting and time.monotonic() < deadline:
        waiting = {pid for pid in waiting if is_alive(pid)}
        time.sleep(0.02)
    return not waiting
