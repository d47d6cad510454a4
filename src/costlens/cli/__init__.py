"""The command line: ``costlens COMMAND TARGET``. Frameworks load only when a model is built."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from costlens import __version__
from costlens.cli import analyze, explain, graph, ops, report, savings
from costlens.cli.options import BadUsage, Parser, split
from costlens.cli.output import discard_output, warn
from costlens.errors import CostlensError

_COMMANDS = (analyze, savings, report, graph, explain, ops)


def command() -> NoReturn:
    """The console script: one command, and a quick way out."""
    code = main()
    gc.freeze()  # or the interpreter looks once more through every object that TensorFlow made
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, 3 for ``--strict``."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    # nothing is computed here, so TensorFlow's start-up messages say nothing to our user
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # a command ends before a collection would pay, and its pauses are a fifth of its time
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _run(arguments, debug)
    finally:
        if collecting:
            gc.enable()


def _run(arguments: Sequence[str], debug: bool) -> int:
    try:
        own, scripts = split(arguments)
        options = _parser().parse_args(own)
        options.arguments = scripts
        return int(options.command(options))
    except (CostlensError, BadUsage) as error:
        if debug:
            raise
        warn(str(error))
        return 2
    except BrokenPipeError:
        # the reader of our output has gone: say nothing more to it
        discard_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        warn(
            f"internal error: {type(error).__name__}: {text}. "
            "Please report it, with the output of the same command and --debug."
        )
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="costlens",
        description="What a Keras model costs, and why: parameters, MACs, FLOPs, memory and bytes "
        "moved, for every layer.",
        epilog="TARGET: model.py, model.py:name, model.py:build(width=0.5), package.module:name, "
        "keras.applications:MobileNetV2. 'costlens COMMAND --help' says more.",
    )
    parser.add_argument("--version", action="version", version=f"costlens {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in _COMMANDS:
        command.add(commands)
    return parser
