"""Flags that several commands share, and how they read."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NoReturn

from costlens.errors import InputError

if TYPE_CHECKING:
    from costlens.frontends import Running, Wanted
    from costlens.study import Study

_POSITIVE = "0*[1-9][0-9]{0,17}"


class BadUsage(Exception):
    """A command line that argparse refuses, as one line."""


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong command line is one line and no usage text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        hint = f"See '{self.prog} --help'."
        if message.startswith("unrecognized arguments: -"):
            hint += " A script's own arguments follow --: costlens analyze train.py -- --width 64."
        raise BadUsage(f"{message}. {hint}")


def add_target(parser: argparse.ArgumentParser, many: bool = False) -> None:
    """TARGET and the flags that settle its sizes."""
    kind = "TARGETs" if many else "TARGET"
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="+" if many else None,
        help="model.py, model.py:name, model.py:build(width=0.5), package.module:name, model.keras",
    )
    sizes = parser.add_argument_group(f"sizes that the {kind} leaves open")
    sizes.add_argument("--batch", type=positive, metavar="N", help="batch size (default 1)")
    sizes.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="[NAME=]H,W,C",
        help="an input's shape without the batch; repeat it for several inputs",
    )
    sizes.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=DTYPE:SHAPE",
        help="what a subclassed model takes, with the batch: tokens=int32:1,128",
    )
    sizes.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="LAYER=N",
        help="a length that a layer leaves open",
    )
    parser.add_argument(
        "--import",
        action="append",
        default=[],
        metavar="FILE",
        dest="imports",
        help="a Python file with layers of yours that a saved model needs; it is run",
    )
    _add_running(parser)
    add_common(parser)


def _add_running(parser: argparse.ArgumentParser) -> None:
    scripts = parser.add_argument_group("how a script is run (its own arguments follow --)")
    scripts.add_argument(
        "--run", action="store_true", help="run it for real: it trains, downloads and writes"
    )
    scripts.add_argument(
        "--time-limit",
        type=positive,
        metavar="SECONDS",
        help="then read what it has made (default 60; with --run, none)",
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Flags that every command has."""
    parser.add_argument("--quiet", action="store_true", help="no progress, no warnings")
    parser.add_argument("--debug", action="store_true", help="a traceback where something fails")


def add_output(parser: Any, suffixes: Mapping[str, str]) -> None:
    """The form of the output, and where it goes."""
    parser.add_argument("--format", choices=sorted(set(suffixes.values())), help="of the output")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="its suffix is the format"
    )


def format_of(options: argparse.Namespace, suffixes: Mapping[str, str], command: str) -> str:
    """The form that is asked for: by --format, else by the suffix of -o, else a terminal's."""
    if options.format:
        return str(options.format)
    if options.output is None:
        return "terminal"
    suffix = options.output.suffix.lower()
    if suffix not in suffixes:
        raise InputError(
            str(options.output),
            f"{suffix or 'a file without a suffix'} is not a format of {command}",
            f"End it in {', '.join(suffixes)}, or pass --format.",
        )
    return suffixes[suffix]


def screen(output: Path | None) -> tuple[int, bool]:
    """How wide a text may be, and whether in colour: a file's is 120 columns without."""
    if output is not None:
        return 120, False
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    colour = sys.stdout is not None and sys.stdout.isatty() and not plain
    return shutil.get_terminal_size((120, 24)).columns, colour


def split(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """A command line, and the script's own arguments after ``--``."""
    if "--" not in arguments:
        return list(arguments), ()
    at = list(arguments).index("--")
    return list(arguments[:at]), tuple(arguments[at + 1 :])


def reading(options: argparse.Namespace) -> dict[str, Any]:
    """How a target is read, as ``study.analyze`` takes it: its sizes, and how a script is run."""
    from costlens.frontends import Running

    limit = options.time_limit or (0 if options.run else 60)
    return {
        "batch": options.batch,
        "input_shape": _input_shapes(options.input_shape),
        "dims": dict(_dim(text) for text in options.dim),
        "inputs": dict(_input(text) for text in options.input) or None,
        "imports": tuple(options.imports),
        "running": Running(tuple(options.arguments), options.run, float(limit)),
    }


def wanted(options: argparse.Namespace) -> tuple[Wanted, Running]:
    """How a target is read, with what ``analyze`` counts besides."""
    from costlens.frontends import Wanted

    how = reading(options)
    running = how.pop("running")
    verify, training = getattr(options, "verify", False), getattr(options, "training", False)
    return Wanted(**how, verify=verify, training=training), running


def _input(text: str) -> tuple[str, tuple[str, tuple[int, ...]]]:
    """``tokens=int32:1,128``; without a name for a model's one input."""
    from costlens.ir.types import ITEMSIZE

    name, _, rest = text.rpartition("=")
    dtype, colon, shape = rest.rpartition(":")
    if not colon or dtype not in ITEMSIZE:
        what = f"{dtype!r} is no dtype" if colon else f"{text!r} is not NAME=DTYPE:SHAPE"
        raise InputError("--input", what, "Write it as tokens=int32:1,128.")
    return name, (dtype, _numbers("--input", shape))


def study(options: argparse.Namespace, target: str) -> Study:
    """Read a target; the rest of the program is loaded while a script runs in its process."""
    from costlens.frontends import read

    with _loading(target):
        found = read(target, *wanted(options))
    from costlens.study import study_of

    return study_of(found)


def studies(options: argparse.Namespace, target: str) -> list[Study]:
    """All models of a target."""
    from costlens.frontends import read_all

    with _loading(target):
        found = read_all(target, *wanted(options))
    from costlens.study import study_of

    return [study_of(reading) for reading in found]


@contextmanager
def _loading(target: str) -> Iterator[None]:
    from costlens.frontends.target import parse_target

    parse_target(target)  # what is no TARGET at all loads nothing
    loading = Thread(target=_load)
    loading.start()
    try:
        yield
    finally:
        loading.join()


def _load() -> None:
    import costlens.report.build
    import costlens.report.terminal
    import costlens.study  # noqa: F401


def _input_shapes(texts: list[str]) -> Any:
    if not texts:
        return None
    named: dict[str, tuple[int, ...]] = {}
    plain: list[tuple[int, ...]] = []
    for text in texts:
        name, equals, numbers = text.rpartition("=")
        if name in named:
            raise InputError("--input-shape", f"{name} is given twice", "Give each input once.")
        if equals:
            named[name] = _numbers("--input-shape", numbers)
        else:
            plain.append(_numbers("--input-shape", numbers))
    if named and plain:
        raise InputError("--input-shape", "some have a name and some have none", "Name them all.")
    return named or (plain if len(plain) > 1 else plain[0])


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    bare = re.sub(r"[\s()\[\]]", "", text)
    if not re.fullmatch("[0-9]{1,18}([,x][0-9]{1,18})*,?", bare):
        raise InputError(flag, f"{text!r} is not a shape", "Write it as 224,224,3.")
    return tuple(map(int, re.findall("[0-9]+", bare)))


def _dim(text: str) -> tuple[str, int]:
    name, equals, number = text.rpartition("=")
    if not equals or not re.fullmatch(_POSITIVE, number):
        raise InputError("--dim", f"{text!r} is not LAYER=N", "Write it as vectorize=128.")
    return name, int(number)


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    if not re.fullmatch(_POSITIVE, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
