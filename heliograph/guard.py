"""The first program of every child of the stack; it becomes the real one.

It asks the kernel to end the child when the supervisor dies, however that happens, and where asked
it gives up being root. It is run by its path with `python -I -S`, so it imports nothing of ours:

    guard.py <parent's pid> <signal> <uid or -> <gid or -> <capability or -> <program> [argument...]
"""

import ctypes
import os
import signal
import struct
import sys
from typing import Final

ORPHANED: Final = 125
"""Exit code when the supervisor was gone before the child began."""
NOT_RUN: Final = 126
"""Exit code when the program could not be run."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECUREBITS: Final = 28
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_SECBIT_NO_SETUID_FIXUP: Final = 1 << 2
_CAPABILITY_VERSION_3: Final = 0x20080522


def main(arguments: list[str]) -> None:
    """Prepare this process and become the program."""
    parent, number, uid, gid, capability, *program = arguments
    try:
        if uid != "-":
            become(int(uid), int(gid), None if capability == "-" else int(capability))
        if sys.platform == "linux":
            # After the change of user, which clears it.
            _call("prctl", _PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != int(parent):
            os._exit(ORPHANED)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(program[0], program)  # noqa: S606 - the supervisor chose the program
    except OSError as error:
        sys.stderr.write(f"heliograph: {program[0]} cannot be run: {error}\n")
        os._exit(NOT_RUN)


def become(uid: int, gid: int, capability: int | None) -> None:
    """Stop being root.

    Args:
        uid: The user to be.
        gid: The one group to be in.
        capability: The one capability to keep, over `exec` too. With it the program can pass
            through folders that only root may enter. The bit set before lets `access(2)` count it.
    """
    if capability is not None:
        _call("prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability is not None:
        mask = 1 << capability
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        # Effective, permitted, inheritable; then the same for numbers from 32 on.
        words = struct.pack("=6I", mask, mask, mask, 0, 0, 0)
        _call("capset", ctypes.create_string_buffer(header), ctypes.create_string_buffer(words))
        _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _call(name: str, *arguments: object) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
