"""``costlens explain TARGET LAYER_OR_BLOCK``: how its figures come about."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from costlens.cli import options as flags
from costlens.cli.output import check_writable, emit, progress, warn_of_script

if TYPE_CHECKING:
    from costlens.report.document import Document
    from costlens.study import Study

_SUFFIXES = {".md": "markdown", ".txt": "terminal"}


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "explain",
        help="how the figures of a layer or a block come about",
        description="The ops of a layer, their rules and where they stand, and every figure as a "
        "formula with the numbers substituted.",
    )
    flags.add_target(parser)
    parser.add_argument(
        "layer",
        metavar="LAYER_OR_BLOCK",
        help="a layer's path, as analyze shows it, or a glob; a block's name, as savings shows it",
    )
    flags.add_output(parser, _SUFFIXES)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Read, explain, print."""

    form = flags.format_of(options, _SUFFIXES, "explain")
    if options.output is not None:
        check_writable(options.output)
    with progress(f"reading {options.target}", options.quiet):
        study = flags.study(options, options.target)
    if not options.quiet:
        warn_of_script(study.source)
    emit(_render(_explained(study, options.layer), form, options), options.output)
    return 0


def _explained(study: Study, name: str) -> Document:
    """What there is to say about what has this name: a layer, or layers of a glob; blocks."""
    from costlens.analysis.explain import explain
    from costlens.report.document import Document
    from costlens.report.explain import document
    from costlens.report.explain_block import block_sections, lens_sections

    blocks = [block for block in study.blocks if block.path == name]
    sections = [
        section
        for block in blocks
        for section in block_sections(study.graph, block, study.sweep(block))
    ]
    if blocks and all(row.path != name for row in study.layers):
        return Document(study.graph.name, tuple(sections))
    layers = explain(study.graph, study.costs, study.layers, name)
    said = document(study.graph.name, layers)
    around = lens_sections(study, {layer.row.path for layer in layers})
    return Document(said.title, (*said.sections, *around, *sections))


def _render(document: Document, form: str, options: argparse.Namespace) -> str:
    from costlens.report import markdown, terminal

    if form == "markdown":
        return markdown.render(document)
    return terminal.render(document, *flags.screen(options.output))
