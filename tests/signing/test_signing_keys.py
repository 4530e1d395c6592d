"""Key files: made once, for their owner alone, and silent about their seed."""

import stat
from pathlib import Path

import pytest
from stellar_sdk import Keypair

from heliograph.credentials import bytes_of_seed, new_stellar_seed
from heliograph.errors import StackError
from heliograph.keys import new_key, read_key, read_secret

SEP_23_SEED = "SBU2RRGLXH3E5CQHTD3ODLDF2BWDCYUSSBLLZ5GNW7JXHDIYKXZWHOKR"
"""A seed that Stellar's own tests use."""


def test_a_new_key_is_what_stellar_reads_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "anna.key"
    address = new_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keypair.from_secret(path.read_text().strip()).public_key == address
    assert read_key(path).address == address
    assert new_key(tmp_path / "ben.key") != address


def test_a_seed_of_stellar_is_read_as_stellar_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "theirs.key"
    path.write_text(SEP_23_SEED)
    theirs = Keypair.from_secret(SEP_23_SEED)
    assert bytes_of_seed(SEP_23_SEED) == theirs.raw_secret_key()
    assert read_key(path).address == theirs.public_key
    assert read_secret(path) == SEP_23_SEED


def test_a_key_is_never_overwritten_not_even_through_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "anna.key", tmp_path / "link.key"
    new_key(path)
    kept = path.read_text()
    link.symlink_to(tmp_path / "elsewhere.key")
    for taken in (path, link):
        with pytest.raises(StackError, match="never overwritten"):
            new_key(taken)
    assert path.read_text() == kept
    assert not (tmp_path / "elsewhere.key").exists()
    with pytest.raises(StackError, match="cannot be written"):
        new_key(tmp_path / "no" / "folder.key")


def spoiled(seed: str) -> str:
    return seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        SEP_23_SEED[:-1],
        SEP_23_SEED.lower(),
        spoiled(SEP_23_SEED),
        SEP_23_SEED[:30] + "1" + SEP_23_SEED[31:],
        f"{SEP_23_SEED} {SEP_23_SEED}",
        Keypair.from_secret(SEP_23_SEED).public_key,
        "S" * 56,
        "\x00\xff" * 28,
        "S" + "é" * 55,
        "S" * 100_000,
    ],
)
def test_what_is_no_key_is_refused_and_not_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.key"
    path.write_text(content)
    with pytest.raises(StackError, match="holds no key") as refused:
        read_key(path)
    error: BaseException | None = refused.value
    while error is not None:
        assert not content.strip() or content.strip()[1:30] not in str(error)
        error = error.__cause__ or error.__context__


def test_a_missing_key_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot be read"):
        read_key(tmp_path / "none.key")


def test_seeds_are_random() -> None:
    assert len({new_stellar_seed() for _ in range(20)}) == 20
