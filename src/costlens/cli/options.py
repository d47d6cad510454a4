"""Flags that several commands share, and how they read."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, NoReturn

from costlens.errors import InputError


class BadUsage(Exception):
    """A command line that argparse refuses, as one line."""


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong command line is one line and no usage text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise BadUsage(f"{message}. See '{self.prog} --help'.")


def add_target(parser: argparse.ArgumentParser, many: bool = False) -> None:
    """TARGET and the flags that settle its sizes."""
    kind = "TARGETs" if many else "TARGET"
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="+" if many else None,
        help="model.py, model.py:name, model.py:build(width=0.5), package.module:name",
    )
    sizes = parser.add_argument_group(f"sizes that the {kind} leaves open")
    sizes.add_argument("--batch", type=int, metavar="N", help="batch size (default 1)")
    sizes.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="[NAME=]H,W,C",
        help="an input's shape without the batch; repeat it for several inputs",
    )
    sizes.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="LAYER=N",
        help="a length that a layer leaves open",
    )
    add_common(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Flags that every command has."""
    parser.add_argument("--quiet", action="store_true", help="no progress, no warnings")
    parser.add_argument("--debug", action="store_true", help="a traceback where something fails")


def sizes(options: argparse.Namespace) -> dict[str, Any]:
    """``batch``, ``input_shape`` and ``dims`` as ``study.analyze`` takes them."""
    return {
        "batch": options.batch,
        "input_shape": _input_shapes(options.input_shape),
        "dims": dict(_dim(text) for text in options.dim),
    }


def _input_shapes(texts: list[str]) -> Any:
    if not texts:
        return None
    named: dict[str, tuple[int, ...]] = {}
    plain: list[tuple[int, ...]] = []
    for text in texts:
        name, equals, numbers = text.rpartition("=")
        if equals:
            named[name] = _numbers("--input-shape", numbers)
        else:
            plain.append(_numbers("--input-shape", numbers))
    if named and plain:
        raise InputError("--input-shape", "some have a name and some have none", "Name them all.")
    return named or (plain if len(plain) > 1 else plain[0])


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(",") if part.strip())
    except ValueError as error:
        raise InputError(flag, f"{text!r} is not a shape", "Write it as 224,224,3.") from error


def _dim(text: str) -> tuple[str, int]:
    name, equals, number = text.rpartition("=")
    if not equals or not number.isdigit():
        raise InputError("--dim", f"{text!r} is not LAYER=N", "Write it as vectorize=128.")
    return name, int(number)


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return number


