"""Run the devnet as a process of its own, as users do."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PASSPHRASE = "Heliograph Devnet ; tests"
ROOT = Path(__file__).parent.parent
STOP_S = 2.0
_STARTED = re.compile(r"devnet\.started url=(http://\S+) ")


@dataclass
class DevnetProcess:
    """A running devnet."""

    process: subprocess.Popen[str]
    url: str
    first_line: str

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.process.kill()
        self.process.wait()
        self._stderr().close()

    def stop(self) -> tuple[int, str]:
        """Ask it to end; give its exit status and what else it logged."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_S)
        finally:
            self.process.kill()
        with self._stderr() as stream:
            return status, stream.read()

    def _stderr(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr


def command() -> list[str]:
    """Give the command that runs a devnet."""
    return [sys.executable, "-m", "devnet"]


def environment(
    data: Path, *, port: str = "0", played: bool = False, passphrase: str = PASSPHRASE
) -> dict[str, str]:
    """Give the environment with a devnet's settings."""
    prefix = "HELIOGRAPH_DEVNET_"
    return os.environ | {
        f"{prefix}PORT": port,
        f"{prefix}DATA": str(data),
        f"{prefix}PASSPHRASE": passphrase,
        f"{prefix}PLAYED": str(played).lower(),
    }


def start(data: Path, *, played: bool = False) -> DevnetProcess:
    """Start a devnet on a free port and wait for the line it logs at start."""
    process = subprocess.Popen(
        command(),
        env=environment(data, played=played),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    found = _STARTED.search(line)
    if found is None:
        process.kill()
        rest = process.stderr.read()
        process.stderr.close()
        process.wait()
        raise AssertionError(f"the devnet did not start: {line}{rest}")
    return DevnetProcess(process, found[1], line)
