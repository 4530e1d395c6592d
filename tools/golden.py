"""Writes golden files that are missing; never touches one that exists.

    python -m tools.golden

- `tests/golden/facts/<Name>.v<N>.json`: the stored bytes of one full example of every fact, and
  `<Name>.v<N>.least.json` of one without its optional members; where members exclude each other,
  `<Name>.v<N>.<variant>.json` of one more. `manifest.json` tells stream, position, subject and
  SHA-256 of each.
- `tests/golden/payloads/Command.<Name>.json`: what is signed, for every command and the report;
  `Command.<Name>.<shape>.json` for a later shape of a command.
- `tests/golden/jws-vectors.json`: signed messages, good and bad, for every verifier on earth.

What was stored once must be readable for ever, so an old file stays when a fact gets a new version;
the tests fail when today's code makes other bytes.
"""

import hashlib
import json
import sys
from pathlib import Path

from libs.events.positions import Position, fact_hash
from tools import jws_vectors
from tools.example_parts import Example
from tools.examples import examples, payloads

FOLDER = Path(__file__).parents[1] / "tests" / "golden"
MANIFEST = "manifest.json"


def manifest_line(example: Example) -> dict[str, str | int]:
    """What the manifest tells of an example."""
    subject, data = example.encoded()
    return {
        "stream": example.stream,
        "sequence": example.sequence,
        "subject": subject,
        "sha256": hashlib.sha256(data).hexdigest(),
        "position": str(Position(example.stream, example.sequence, fact_hash(data))),
    }


def write_missing(folder: Path) -> list[Path]:
    """Write what is missing and return its paths."""
    files = {folder / "facts" / f"{each.name}.json": each.encoded()[1] for each in examples()}
    files |= {folder / "payloads" / f"{name}.json": data for name, data in payloads().items()}
    vectors = json.dumps(jws_vectors.document(), indent=2) + "\n"
    files[folder / "jws-vectors.json"] = vectors.encode("ascii")
    written = [path for path in files if not path.exists()]
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path])
    path = folder / "facts" / MANIFEST
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    lines = {each.name: manifest_line(each) for each in examples()} | known
    if lines != known:
        path.write_text(json.dumps(dict(sorted(lines.items())), indent=2) + "\n", "utf-8")
        written.append(path)
    return written


def main() -> int:
    """Write what is missing and name it."""
    for path in write_missing(FOLDER):
        print(f"wrote {path.relative_to(FOLDER.parents[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
