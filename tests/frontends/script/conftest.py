"""Small scripts in a folder of their own, run in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from costlens.frontends.script.request import Running
from costlens.frontends.script.session import Loaded, load
from costlens.frontends.target import parse_target

Run = Callable[..., Loaded]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the text of a script; a test finds that it leaves nothing but what was there."""
    monkeypatch.chdir(tmp_path)

    def run(source: str, target: str = "m.py", arguments: tuple[str, ...] = ()) -> Loaded:
        Path("m.py").write_text(source, encoding="utf-8")
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        loaded = load(parse_target(target), running=Running(arguments))
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return loaded

    return run


def params(loaded: Loaded) -> dict[str, int]:
    """The parameters of every model, by what follows the colon of its TARGET."""
    return {each.target.partition(":")[2]: each.params for each in loaded.models}
