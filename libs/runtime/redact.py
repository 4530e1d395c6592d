"""Takes secrets out of what is about to be printed.

A last net, not a licence: secrets are held as `SecretStr` and never passed to a log on purpose.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "**********"
"""What stands in place of a secret."""

DEPTH_MAX: Final = 8
"""How deep nested values are searched; what is deeper is hidden whole."""

_SECRET_KEY: Final = re.compile(
    r"(?i)(^|[_-])(password|passwd|secret|token|seed|authorization|private[_-]?key|cookie)$"
)
_STELLAR_SEED: Final = re.compile(r"\bS[A-D][A-Z2-7]{54}\b")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]+@")


def hide_secrets(value: Any, depth: int = 0) -> Any:
    """Return a value with everything in it hidden that is, or looks like, a secret.

    Hidden are members whose name says so (`nats_password`, `token`, ...), Stellar seeds and the
    passwords of URLs inside any text.

    Args:
        value: JSON-like: mappings, sequences, text, numbers. Never changed.
        depth: How deep this value lies, for the recursion.

    Returns:
        The same value where nothing had to be hidden, else a copy.
    """
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", _STELLAR_SEED.sub(HIDDEN, value))
    if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return value
    if depth >= DEPTH_MAX:
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if _SECRET_KEY.search(str(key)) and item is not None
            else hide_secrets(item, depth + 1)
            for key, item in value.items()
        }
    return [hide_secrets(item, depth + 1) for item in value]
