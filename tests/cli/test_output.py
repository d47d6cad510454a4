"""Files are written whole or not at all; reports; graphs."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import networkx as nx
import pytest

from costlens.cli import output
from costlens.cli.output import check_writable, write_files
from costlens.errors import InputError
from tests.cli.conftest import FILES, Costlens


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def fail(*arguments: object, **keywords: object) -> None:
    """Stands in for a step that fails."""
    raise OSError(28, "No space left on device")


def test_a_file_replaces_another_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("before")
    path.chmod(0o640)
    write_files({path: "naïve\r\n\ud800"})
    assert path.read_bytes() == "naïve\r\n\\ud800".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["out.txt"]


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    write_files({tmp_path / "made": ""})
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    write_files({tmp_path / "link": "after"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"


def test_a_device_is_written_and_not_replaced() -> None:
    before = os.stat(os.devnull)
    write_files({Path(os.devnull): "gone"})
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert os.stat(os.devnull).st_ino == before.st_ino


@pytest.mark.parametrize("step", ["os.replace", "os.chmod", "tempfile.mkstemp"])
def test_a_failure_half_way_leaves_the_old_files_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (tmp_path / "a").write_text("old")
    module, name = step.split(".")
    monkeypatch.setattr(getattr(output, module), name, fail)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write_files({tmp_path / "a": "new", tmp_path / "b": "new"})
    monkeypatch.undo()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_an_interruption_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(output, "_fill", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / "a": "new"})
    assert names(tmp_path) == []


def test_the_second_file_failing_keeps_the_first_unwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_files({tmp_path / "a": "new", tmp_path / "nosuch" / "b": "new"})
    assert names(tmp_path) == []


def test_writable_is_checked_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path / "new")
    check_writable(Path("new"))
    monkeypatch.setattr(output.os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / "new")


def test_a_failing_export_writes_nothing(
    costlens: Costlens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.os, "replace", fail)
    before = names(tmp_path)
    for arguments in (
        ("analyze", "net.py", "-o", "out.json"),
        ("graph", "net.py", "-o", "out.dot"),
        ("report", "net.py", "-o", "deep/reports"),
    ):
        result = costlens(*arguments)
        assert (result.code, result.out) == (2, "")
        assert "cannot be written: No space left on device." in result.err
        assert names(tmp_path) == before


def test_a_report_is_a_folder_of_pages_and_an_index(costlens: Costlens, tmp_path: Path) -> None:
    result = costlens("report", "net.py", "twins.py:a", "open.py:dense", "-o", "deep/reports")
    folder = tmp_path / "deep" / "reports"
    assert (result.code, result.out) == (0, "")
    assert result.err == "13 files in deep/reports; start with deep/reports/README.md\n"
    made = [f"{name}.{suffix}" for name in ("a", "fixed", "net") for suffix in
            ("csv", "graphml", "json", "md")]  # fmt: skip
    assert names(folder) == ["README.md", *made]
    index = (folder / "README.md").read_text()
    assert "* [net](net.md): 1×8×8×3" in index
    assert json.loads((folder / "net.json").read_text())["totals"]["params"] == 198
    assert len(nx.read_graphml(folder / "net.graphml")) == 6
    page = (folder / "net.md").read_text()
    assert "[GraphML](net.graphml)" in page


def test_a_report_written_twice_is_the_same_and_leaves_other_files(
    costlens: Costlens, tmp_path: Path
) -> None:
    def read() -> dict[str, str]:
        return {p.name: p.read_text() for p in (tmp_path / "reports").iterdir()}

    assert costlens("report", "net.py", "-o", "reports", "--quiet").err == ""
    first = read()
    (tmp_path / "reports" / "mine.txt").write_text("mine")
    costlens("report", "net.py", "-o", "reports")
    assert read() == {**first, "mine.txt": "mine"}


def test_layer_names_do_not_depend_on_what_was_read_before(
    costlens: Costlens, tmp_path: Path
) -> None:
    """Keras numbers the names that it makes up; each TARGET starts from the first."""
    costlens("report", "twins.py:a", "twins.py:b", "-o", "reports")
    rows = [json.loads((tmp_path / "reports" / f"{n}.json").read_text())["layers"] for n in "ab"]
    alone = json.loads(costlens("analyze", "twins.py:b", "--format", "json").out)["layers"]
    assert rows[1] == alone


@pytest.mark.parametrize("level", ["op", "layer"])
@pytest.mark.parametrize("suffix", [".graphml", ".gexf", ".dot", ".mmd", ".json", ".DOT"])
def test_graph_writes_every_format(
    costlens: Costlens, tmp_path: Path, suffix: str, level: str
) -> None:
    result = costlens("graph", "net.py", "-o", f"out{suffix}", "--level", level)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert "stem" in (tmp_path / f"out{suffix}").read_text()
    assert names(tmp_path) == sorted([*FILES, f"out{suffix}"])
