"""``costlens analyze TARGET``: totals, per-layer table, hot spots, coverage."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from costlens.cli import options as flags
from costlens.cli.output import check_writable, emit, progress, warn, warn_of_script, warn_unknown

if TYPE_CHECKING:
    from costlens.study import Study

_SUFFIXES = {".md": "markdown", ".json": "json", ".csv": "csv", ".txt": "terminal"}
_SORTS = ("macs", "flops", "params", "weight_bytes", "activation_bytes", "bytes_moved")


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "analyze",
        help="what a model costs, layer by layer",
        description="Totals, a table of every layer, hot spots, peak memory and coverage.",
    )
    flags.add_target(parser)
    parser.add_argument("--all", action="store_true", help="every model of a script")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--depth", type=flags.positive, metavar="N", help="roll up below N levels")
    shown.add_argument("--top", type=flags.positive, metavar="N", help="only the first N layers")
    shown.add_argument("--sort", choices=_SORTS, help="the largest first")
    shown.add_argument("--layer", metavar="GLOB", help="layers whose path or type matches")
    flags.add_output(shown, _SUFFIXES)
    more = parser.add_argument_group("what is counted besides")
    more.add_argument("--training", action="store_true", help="MACs of a training step, by layer")
    more.add_argument(
        "--verify",
        action="store_true",
        help="count the traced graph too, and exit 1 where the two differ",
    )
    parser.add_argument("--strict", action="store_true", help="exit 3 where a figure is unknown")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Analyse and print; 3 where ``--strict`` finds an unknown, 1 where ``--verify`` differs."""
    if options.output is not None:
        check_writable(options.output)
    form = flags.format_of(options, _SUFFIXES, "analyze")
    studies = _studies(options)
    text = _render(studies, form, options)
    emit(text, options.output)
    if not options.quiet:
        _warn(studies, options.layer)
    if any(study.verification and not study.verification.agrees for study in studies):
        return 1
    unknown = any(not study.coverage.complete for study in studies)
    return 3 if options.strict and unknown else 0


def _studies(options: argparse.Namespace) -> list[Study]:
    with progress(f"reading {options.target}", options.quiet):
        if options.all:
            return flags.studies(options, options.target)
        return [flags.study(options, options.target)]


def _render(studies: Sequence[Study], form: str, options: argparse.Namespace) -> str:
    import json

    from costlens.analysis.tree import select
    from costlens.report import csv, data, markdown, terminal
    from costlens.report.build import View, summary

    view = View(options.depth, options.top, options.sort, options.layer)
    picked = [select(s.layers, view.layer, view.sort, view.top) for s in studies]
    if form == "json":
        if options.all:
            made = data.models_data(studies, picked)
        else:
            made = data.data(studies[0], picked[0])
        return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    if form == "csv":
        if options.all:
            targets = (study.source.target for study in studies)
            return csv.render_all(dict(zip(targets, picked, strict=True)))
        return csv.render(picked[0])
    documents = [summary(study, view) for study in studies]
    if form == "markdown":
        return "\n".join(map(markdown.render, documents))
    width, colour = flags.screen(options.output)
    return "\n".join(terminal.render(document, width, colour) for document in documents)


def _warn(studies: Sequence[Study], layer: str | None) -> None:
    from costlens.analysis.tree import select

    for source in {study.source.warnings: study.source for study in studies}.values():
        warn_of_script(source)
    for study in studies:
        if layer is not None and not select(study.layers, layer):
            warn(f"{study.graph.name}: no layer's path or type matches {layer}.")
        warn_unknown(study)
