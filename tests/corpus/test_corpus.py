"""Whole training scripts, unmodified: the right models and parameters, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
CASES = [
    (script, case)
    for script, cases in tomllib.loads((HERE / "expected.toml").read_text("utf-8")).items()
    for case in (cases if isinstance(cases, list) else [cases])
]


def test_every_script_is_expected() -> None:
    """A folder's entry is its train.py; what that imports is no script of its own."""
    single = {path.name for path in SCRIPTS.iterdir() if path.is_file()}
    folders = {str(path.relative_to(SCRIPTS)) for path in SCRIPTS.glob("*/train.py")}
    assert {script for script, _ in CASES} == single | folders


@pytest.mark.parametrize(("script", "case"), CASES, ids=[script for script, _ in CASES])
def test_script(script: str, case: dict[str, Any], tmp_path: Path) -> None:
    run = analyze(script, case, tmp_path)
    assert "Traceback" not in run.stderr, run.stderr
    said = [line for line in run.stderr.splitlines() if line.startswith("costlens: ")]
    if "fails" in case:
        assert (run.returncode, run.stdout) == (2, "")
        assert case["fails"] in said[-1]
        return
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    said += report["notes"]
    for text in case.get("warns", ()):
        assert any(text in line for line in said), said
    main = {"name": report["model"]["name"], **report["totals"]}
    wanted = {key: case[key] for key in ("name", "params", "macs") if key in case}
    assert {key: main[key] for key in wanted} == wanted
    listed = {
        each["target"].partition(":")[2]: each["params"] for each in report["model"]["others"]
    }
    others = case.get("others", {})
    assert {name: listed.get(name) for name in others} == others


def analyze(script: str, case: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command on a copy of the script or its folder, which it has to leave as it was."""
    shutil.copytree(SCRIPTS, folder / "work", ignore=shutil.ignore_patterns("__pycache__"))
    home = folder / "home"
    home.mkdir()
    before = tree(folder)
    target = ":".join([script, *([case["target"]] if "target" in case else [])])
    command = [sys.executable, "-m", "costlens", "analyze", target, "--format", "json"]
    run = subprocess.run(
        [*command, *case.get("arguments", ())],
        cwd=folder / "work",
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tree(folder) == before
    return run


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and folder below, with its content; Keras's own settings in the home aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if ".keras" not in path.parts
    }
