"""What a TARGET means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from costlens.errors import InputError
from costlens.frontends.target import parse_target


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a model file, a package and a folder that looks like a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text("")
    (tmp_path / "MODEL.PY").write_text("")
    (tmp_path / "name:with.colons.py").write_text("")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "net.py").write_text("")
    (tmp_path / "folder.py").mkdir()


@pytest.mark.parametrize(
    ("text", "attribute", "called", "args", "kwargs"),
    [
        ("model.py", None, False, (), {}),
        ("model.py:net", "net", False, (), {}),
        ("model.py: net \n", "net", False, (), {}),
        ("model.py:Nets.small", "Nets.small", False, (), {}),
        ("model.py:build()", "build", True, (), {}),
        ("model.py:build(0.5, [1, 2])", "build", True, (0.5, [1, 2]), {}),
        ("model.py:build(width=-1, name='a:b', top=None)", "build", True, (),
         {"width": -1, "name": "a:b", "top": None}),
        ("model.py:build(shape=(8, 8, 3), flags={'a': {1}})", "build", True, (),
         {"shape": (8, 8, 3), "flags": {"a": {1}}}),
        ("model.py:Ünïcode", "Ünïcode", False, (), {}),
    ],
)  # fmt: skip
def test_a_script_and_what_is_taken_from_it(
    text: str, attribute: str | None, called: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    found = parse_target(text)
    assert (found.path, found.module) == (Path("model.py"), None)
    assert (found.attribute, found.called) == (attribute, called)
    assert (found.args, dict(found.kwargs)) == (args, kwargs)
    assert (found.text, found.where) == (text, "model.py")


@pytest.mark.parametrize(
    ("text", "path", "attribute"),
    [
        ("./model.py:net", "model.py", "net"),
        ("pack/net.py", "pack/net.py", None),
        ("pack/../model.py:net", "pack/../model.py", "net"),
        ("MODEL.PY:net", "MODEL.PY", "net"),
        ("name:with.colons.py", "name:with.colons.py", None),
        ("name:with.colons.py:net", "name:with.colons.py", "net"),
    ],
)
def test_paths(text: str, path: str, attribute: str | None) -> None:
    found = parse_target(text)
    assert (found.path, found.attribute) == (Path(path), attribute)


@pytest.mark.parametrize("text", ["pack:build", "pack.net:build(1)", "keras.applications:VGG16"])
def test_an_importable_module(text: str) -> None:
    found = parse_target(text)
    assert found.path is None
    assert found.where == found.module == text.partition(":")[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no such file, and no package.module:name"),
        (":", "neither a name nor a call"),
        (":net", "no such file, and no package.module:name"),
        ("model", "no such file, and no package.module:name"),
        ("model.net", "a module needs a name in it"),
        ("two words:net", "no such file, and no package.module:name"),
        ("pack", "is a folder"),
        ("pack/", "is a folder"),
        ("folder.py", "is a folder"),
        ("pack/nosuch:net", "no such file"),
        ("nosuch.py:net", "no such file"),
        ("nosuch.h5", "no such file"),
        ("https://example.com/model.py", "no such file"),
        ("model.py:1.5", "neither a name nor a call"),
        ("model.py:f(x)", "neither a name nor a call"),
        ("model.py:f(1)(2)", "neither a name nor a call"),
        ("model.py:f[x]", "neither a name nor a call"),
        ("model.py:f; import os", "neither a name nor a call"),
        ("model.py:f(*[1])", "neither a name nor a call"),
        ("model.py:f(__import__('os'))", "neither a name nor a call"),
        ("model.py:f({[]})", "neither a name nor a call"),
        ("model.py:f(a=1, a=2)", "neither a name nor a call"),
    ],
)
def test_what_is_no_target(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        parse_target(text)
    assert caught.value.fix
    assert "\n" not in str(caught.value)


def test_nothing_in_a_target_is_evaluated(tmp_path: Path) -> None:
    for call in ("open('made', 'w')", "build(open('made', 'w'))", "build(x=open('made', 'w'))"):
        with pytest.raises(InputError):
            parse_target(f"model.py:build({call})")
    assert not (tmp_path / "made").exists()
