"""The command as a process of its own: what it loads, its streams, its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import FILES

HEAVY = ("tensorflow", "keras", "jax", "torch", "rich", "networkx", "numpy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of small model files."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def python(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run this Python, with the package importable."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "80", **variables}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_and_import_load_no_framework_and_no_renderer(tmp_path: Path) -> None:
    code = f"""
import sys
import costlens
from costlens.cli import main
for arguments in (["--help"], ["--version"], ["analyze", "--help"], ["report", "--help"]):
    try:
        main(arguments)
    except SystemExit as left:
        assert not left.code
main(["analyze", "nosuch.py"])
main(["analyze", "nosuch.py:x("])
print("loaded:", [name for name in {HEAVY} if name in sys.modules])
"""
    result = python("-c", code, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "loaded: []"
    assert "usage: costlens analyze" in result.stdout


def test_the_module_runs_as_a_command(folder: Path) -> None:
    result = python("-m", "costlens", "analyze", "chatty.py", "--format", "csv", folder=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("path,type,call,")
    assert result.stdout.count("\n") == 3
    for words in ('Model: "chatty"', "from the script", "chatty.py:7: not run: echo from a child."):
        assert words in result.stderr
    assert "\nfrom a child" not in result.stderr


def test_help_lists_the_commands(folder: Path) -> None:
    result = python("-m", "costlens", "--help", folder=folder)
    assert (result.returncode, result.stderr) == (0, "")
    for command in ("analyze", "report", "graph", "ops"):
        assert f"    {command} " in result.stdout


def test_a_reader_that_leaves_early_is_no_error(folder: Path) -> None:
    code = """
import subprocess, sys
command = [sys.executable, "-m", "costlens", "ops"]
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
process.stdout.close()
print(process.stderr.read(), process.wait())
"""
    assert python("-c", code, folder=folder).stdout.strip() == "0"


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_a_standard_output_that_takes_nothing_is_an_error(folder: Path, where: str) -> None:
    command = f'"{sys.executable}" -m costlens ops {where}'
    paths = os.pathsep.join(path for path in sys.path if path)
    result = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("costlens: standard output: ")
    assert result.stderr.count("\n") == 1


def test_output_in_a_narrow_encoding_is_spelled_out(folder: Path) -> None:
    result = python("-m", "costlens", "ops", folder=folder, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()


@pytest.mark.parametrize("missing", ["keras", "tensorflow"])
def test_a_missing_framework_says_what_to_install(folder: Path, missing: str) -> None:
    source = f"raise ModuleNotFoundError('No module named {missing}', name={missing!r})\n"
    (folder / f"{missing}.py").write_text(source, encoding="utf-8")
    code = "import sys; from costlens.cli import main; sys.exit(main(['analyze', 'net.py']))"
    result = python("-c", code, folder=folder, KERAS_BACKEND="tensorflow")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"costlens: keras: building a model needs Keras 3 and a backend, and {missing} is not "
        "installed. Run: pip install 'costlens[tensorflow-cpu]' (or costlens[tensorflow]).\n"
    )


def test_an_unknown_backend_is_one_line(folder: Path) -> None:
    result = python("-m", "costlens", "analyze", "net.py", folder=folder, KERAS_BACKEND="abacus")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("costlens: keras: it does not start: ValueError: ")
    assert result.stderr.count("\n") == 1
