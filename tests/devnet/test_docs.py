"""The page about the devnet names every setting, with its default, and every path."""

from pathlib import Path

from starlette.routing import Route

from devnet import app
from devnet.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "devnet.md").read_text()


def test_every_setting_is_on_the_page_with_its_default() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `HELIOGRAPH_DEVNET_")]
    named = {
        row.split("`")[1].removeprefix("HELIOGRAPH_DEVNET_"): row.split("`")[3] for row in rows
    }
    fields = {name.upper(): str(field.default) for name, field in Settings.model_fields.items()}
    assert named == fields | {"PLAYED": "false"}


def test_every_path_is_on_the_page(tmp_path: Path) -> None:
    built = app.wire(Settings(data=tmp_path, played=True))
    paths = [route.path for route in built.routes if isinstance(route, Route)]
    built.state.node.store.close()
    assert len(paths) == 11
    for path in paths:
        assert f" {path}`" in PAGE, path
