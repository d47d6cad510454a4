"""``costlens graph TARGET -o model.graphml``: the graph for another program."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from costlens.cli import options as flags
from costlens.cli.output import check_writable, emit, progress, warn_of_script


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "graph",
        help="export the graph: GraphML, GEXF, DOT, Mermaid, JSON",
        description="Write the model's graph, costs as attributes, for yEd, Gephi, Graphviz, "
        "Mermaid or networkx.",
    )
    flags.add_target(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=".graphml .gexf .dot .mmd .json (node-link)",
    )
    parser.add_argument(
        "--level",
        choices=("op", "layer", "block"),
        default="op",
        help="a node per op, per layer call, or per block that is built on 1×1s",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Read, export, write."""
    from costlens.export.files import writer

    check_writable(options.output)
    write = writer(options.output.suffix.lower())
    with progress(f"reading {options.target}", options.quiet):
        study = flags.study(options, options.target)
    if not options.quiet:
        warn_of_script(study.source)
    emit(write(study.to_networkx(options.level)), options.output)
    return 0
