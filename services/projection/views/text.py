"""Text from strangers, made storable. Pure."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Stands for what Postgres cannot hold."""


def plain(text: str) -> str:
    """Replace what a `text` column cannot hold: NUL, and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text
