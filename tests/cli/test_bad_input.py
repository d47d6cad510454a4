"""Bad input: one clear line on standard error, exit 2, nothing printed, nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Costlens

Refused = Callable[..., str]


@pytest.fixture
def refused(costlens: Costlens, tmp_path: Path) -> Refused:
    """Run a command that has to fail, and give the line that it says."""

    def run(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        result = costlens(*arguments)
        assert result.code == 2, result
        assert result.out == ""
        assert result.err.startswith("costlens: ")
        assert result.err.endswith(".\n")
        assert len(result.err.splitlines()) == 1, result.err
        assert "internal error" not in result.err
        after = sorted(p for p in tmp_path.rglob("*") if "__pycache__" not in p.parts)
        assert after == before
        return result.err.removeprefix("costlens: ").rstrip("\n")

    return run


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nosuch.py", "nosuch.py: no such file. Check the path."),
        ("nosuch/net.py:build", "nosuch/net.py: no such file. Check the path."),
        ("nosuch.keras", "nosuch.keras: no such file. Check the path."),
        ("net", "net: no such file, and no package.module:name. Pass model.py, model.py:name or "
         "keras.applications:MobileNetV2."),
        ("", "no such file, and no package.module:name."),
        (".", ".: is a folder, and no SavedModel"),
        ("net.py:nosuch", "net.py: it has no nosuch. Try: net.py:net, net.py:build."),
        ("net.py:ne", "net.py: it has no ne. Try: net.py:net, net.py:build."),
        ("net.py:net.nothing", "net.py: it has no net.nothing."),
        ("net.py:number", "net.py:number: it is an int, no model. Try: net.py:net, net.py:build."),
        ("net.py:net()", "net.py:net(): a model is not called. Write net."),
        ("net.py:build(depth=3)", "got an unexpected keyword argument 'depth'"),
        ("net.py:build(width=n)", "what follows the colon is neither a name nor a call"),
        ("net.py:", "what follows the colon is neither a name nor a call"),
        ("net.py:build(**{})", "what follows the colon is neither a name nor a call"),
        ("net.py:" + "(" * 10_000, "what follows the colon is neither a name nor a call"),
        ("net.py:" + "a." * 10_000 + "b", "what follows the colon is neither a name nor a call"),
        ("net.py:f(" + "-" * 50_000 + "1)", "what follows the colon is neither a name nor a call"),
        ("twins.py", "twins.py: two models of 25 parameters, and neither contains the other. "
         "Choose one: twins.py:a or twins.py:b (or --all)."),
        ("nul\0.py", r"nul\x00.py: no such file. Check the path."),
        ("nul\0:x", r"nul\x00:x: no such file, and no package.module:name."),
        ("net.py:a\0b", r"net.py:a\x00b: what follows the colon"),
        ("x" * 5000 + ".py", "…: no such file. Check the path."),
        ("red\x1b[31m.py", r"red\x1b[31m.py: no such file."),
        ("keras.applications", "a module needs a name in it. Write keras.applications:name."),
        ("keras.applications:MobilNetV2", "it has no MobilNetV2. Try: keras.applications:Mobile"),
        ("keras.applications:VGG16(input_shape=(9, 9, 3))", "keras.applications: ValueError: "),
        ("no.such.module:net", "no.such.module: No module named 'no'. Check the name, and that it "
         "is installed."),
    ],
)  # fmt: skip
def test_a_wrong_target(refused: Refused, target: str, says: str) -> None:
    line = refused("analyze", target)
    assert says in line
    assert len(line) < 500


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("x = 1\n\nraise RuntimeError('no\\nluck')\n", "bad.py:3: RuntimeError: no luck."),
        ("def f():\n    return 1 / 0\nf()\n", "bad.py:2: ZeroDivisionError: division by zero."),
        ("raise RuntimeError('\\x1b[31mred')\n", "bad.py:1: RuntimeError: red."),
        ("x = = 1\n", "bad.py:1: SyntaxError: invalid syntax. Fix the script."),
        ("import sys\nsys.exit(3)\n", "bad.py:2: SystemExit: 3."),
        ("class Gone(BaseException): pass\nraise Gone\n", "bad.py:2: Gone."),
        (
            "import nothing_of_this_name\n",
            "holds a Keras model. Name a Functional or Sequential "
            "model, or a function that returns one. Not installed: nothing_of_this_name.",
        ),
        ("x = " + "(" * 3000 + ")" * 3000 + "\n", "bad.py"),
        ("x = 1\n", "bad.py: none of its variables holds a Keras model."),
        (
            "def build(width): ...\n",
            "none of its variables holds a Keras model. Try: bad.py:build(width=…).",
        ),
        ("def build():\n    raise KeyError('k')\n", "bad.py:2: KeyError: 'k'."),
        (
            "import costlens\nraise costlens.CostlensError('a', 'b', 'Do c.')\n",
            "bad.py:2: b. Do c.",
        ),
    ],
)
def test_a_script_that_fails(refused: Refused, tmp_path: Path, script: str, says: str) -> None:
    (tmp_path / "bad.py").write_text(script, encoding="utf-8")
    assert says in refused("analyze", "bad.py")


@pytest.mark.parametrize("junk", [bytes(range(256)) * 9, b"\xff\xfe\x00", b"\x80abc", b"a\0b"])
def test_a_binary_file_is_no_script(refused: Refused, tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "junk.py").write_bytes(junk)
    line = refused("analyze", "junk.py")
    assert line.startswith("junk.py:")
    assert "SyntaxError: " in line


def test_a_factory(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "make.py").write_text(
        "def needs(n): ...\ndef nothing(): ...\ndef fails():\n    raise ValueError('no')\n"
    )
    assert refused("analyze", "make.py:needs") == (
        "make.py:needs: missing a required argument: 'n'. Write make.py:needs(n=…)."
    )
    assert refused("analyze", "make.py:nothing").startswith(
        "make.py:nothing: it gives None, no model. Try: make.py:needs(n=…), make.py:fails."
    )
    assert "make.py:4: ValueError: no." in refused("analyze", "make.py:fails()")


def test_an_importable_module(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "costlens_leaves.py").write_text("import sys\nsys.exit('bye')\n")
    (tmp_path / "costlens_lacks.py").write_text("import nothing_of_this_name\n")
    assert "costlens_leaves.py:2: SystemExit: bye." in refused("analyze", "costlens_leaves:net")
    line = refused("analyze", "costlens_lacks:net")
    assert "it has no net." in line
    assert line.endswith("Not installed: nothing_of_this_name.")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model.txt", "is not a kind of file that is read"),
        ("Modelfile", "is not a kind of file that is read"),
    ],
)
def test_a_file_that_is_not_read_yet(
    refused: Refused, tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / name).write_bytes(b"\0")
    assert refused("analyze", name) == f"{name}: {says}. Pass a model.py or a .keras file."


def test_saved_files_that_are_none_say_what_to_do(refused: Refused, tmp_path: Path) -> None:
    for name in ("model.keras", "weights.h5", "config.json"):
        (tmp_path / name).write_bytes(b"\0")
    assert "model.keras: is no whole .keras archive" in refused("analyze", "model.keras")
    assert "config.json: is no JSON" in refused("analyze", "config.json")
    assert "weights.h5: cannot be read as HDF5" in refused("analyze", "weights.h5")


def test_a_subclassed_model_that_was_never_called(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import keras\nclass Own(keras.Model):\n    def call(self, x): return x\nown = Own()\n"
    )
    for target in ("own.py", "own.py:own", "own.py:Own"):
        line = refused("analyze", target)
        assert "Own is a subclassed model that was never called" in line
        assert "--input-shape" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("open.py:conv",), "input image: its shape (None, None, 3) has undefined dimensions. Pass "
         "--input-shape image=N,N,3 with a number for each N."),
        (("open.py:conv", "--input-shape", "9,3"), "input image: the shape (9, 3) is given and "
         "the model takes (None, None, 3)."),
        (("open.py:conv", "--input-shape", "9,9,4"), "conv: its kernel should be "),
        (("open.py:dense", "--input-shape", "9,9,3"), "head: its kernel should be "),
        (("open.py:conv", "--input-shape", "photo=9,9,3"), "--input-shape photo: the model has no "
         "input of this name. Its inputs: image."),
        (("open.py:conv", "--input-shape", "0,9,3"), "0, 9, 3 is not a shape. Pass whole "
         "numbers from 1."),
        (("pair.py", "--input-shape", "5,4"), "as many shapes as inputs are needed, and 1 of 2 are "
         "given. Name them: a, b."),
        (("pair.py", "--input-shape", "a=5,4", "--input-shape", "5,4"), "some have a name and some "
         "have none. Name them all."),
        (("pair.py", "--input-shape", "a=5,4", "--input-shape", "a=6,4"), "a is given twice."),
        (("pair.py", "--input-shape", "a=5,4"), "input b: its shape (None, 4) has undefined "),
        *((("net.py", "--input-shape", text), f"{text!r} is not a shape. Write it as "
           "224,224,3.") for text in ("", "8,,3", "8,8,x", "8;8", "²", "8.0", "9" * 5000)),
        *((("net.py", "--batch", text), f"{text!r} is not a whole number from 1.")
          for text in ("0", "x", "1.5", "²", "9" * 5000)),
        (("net.py", "--batch=-1"), "'-1' is not a whole number from 1."),
        *((("net.py", "--dim", text), f"--dim: {text!r} is not LAYER=N. Write it as vectorize=128.")
          for text in ("x", "x=", "x=-1", "x=²", "x=0", "=")),
        (("net.py", "--top", "0"), "argument --top: '0' is not a whole number from 1."),
        (("net.py", "--depth", "all"), "argument --depth: 'all' is not a whole number from 1."),
        (("net.py", "--sort", "price"), "argument --sort: invalid choice: 'price'"),
        (("net.py", "--format", "xml"), "argument --format: invalid choice: 'xml'"),
        (("net.py", "--no-such-flag"), "unrecognized arguments: --no-such-flag."),
        (("net.py", "two\nlines"), r"unrecognized arguments: two\nlines."),
        ((), "the following arguments are required: TARGET. See 'costlens analyze --help'."),
    ],
)  # fmt: skip
def test_wrong_flags_and_sizes(refused: Refused, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused("analyze", *arguments)


def test_a_wrong_command_line(refused: Refused) -> None:
    assert "invalid choice: 'frobnicate'" in refused("frobnicate", "net.py")
    assert "the following arguments are required: COMMAND" in refused()
    assert "are required: -o/--output" in refused("graph", "net.py")
    assert "argument --level: invalid choice: 'module'" in refused(
        "graph", "net.py", "-o", "x.dot", "--level", "module"
    )


@pytest.mark.parametrize("command", ["analyze", "graph"])
@pytest.mark.parametrize(
    ("output", "says"),
    [
        (
            "nosuch/out.json",
            "nosuch/out.json: there is no folder nosuch. Make it, or choose another.",
        ),
        (".", ".: is a folder. Name a file with -o."),
        ("net.py/out.json", "net.py/out.json: there is no folder net.py."),
        ("/proc/out.json", "/proc/out.json: cannot be written: "),
        ("nul\0.json", r"nul\x00.json: cannot be written: "),
        ("x" * 300 + ".json", "cannot be written: "),
        ("out.xyz", ".xyz is not a "),
        ("out", "suffix"),
    ],
)
def test_an_output_that_cannot_be_written(
    refused: Refused, command: str, output: str, says: str
) -> None:
    assert says in refused(command, "net.py", "-o", output)


def test_a_full_device_is_an_error_and_stays_a_device(refused: Refused) -> None:
    line = refused("analyze", "net.py", "--format", "json", "-o", "/dev/full")
    assert line == (
        "/dev/full: cannot be written: No space left on device. Choose another place with -o."
    )
    assert not os.path.isfile("/dev/full")


@pytest.mark.parametrize(
    ("output", "says"),
    [("net.py", "is a file"), ("net.py/x", "is a file"), ("/proc/x/y", "cannot be made: ")],
)
def test_a_report_folder_that_cannot_be_made(refused: Refused, output: str, says: str) -> None:
    assert says in refused("report", "net.py", "-o", output)


def test_one_wrong_target_leaves_no_report_at_all(refused: Refused) -> None:
    assert refused("report", "net.py", "nosuch.py", "-o", "reports").startswith("nosuch.py: ")


def test_debug_shows_where_it_failed(costlens: Costlens) -> None:
    with pytest.raises(Exception, match="no such file"):
        costlens("analyze", "nosuch.py", "--debug")
