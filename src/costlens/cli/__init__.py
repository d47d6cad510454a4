"""The command line: ``costlens COMMAND TARGET``. Frameworks load only when a model is built."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from costlens import __version__
from costlens.cli import analyze, graph, ops, report
from costlens.cli.options import BadUsage, Parser
from costlens.errors import CostlensError

_COMMANDS = (analyze, report, graph, ops)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, 3 for ``--strict``."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    # nothing is computed here, so TensorFlow's start-up messages say nothing to our user
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        options = _parser().parse_args(arguments)
        run = options.run
        return int(run(options))
    except (CostlensError, BadUsage) as error:
        if debug:
            raise
        print(f"costlens: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # the reader of our output has gone: say nothing more to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        print(
            f"costlens: internal error: {type(error).__name__}: {text}. "
            "Please report it, with the output of the same command and --debug.",
            file=sys.stderr,
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
