"""``costlens savings TARGET``: every 1×1 and block against its plain form."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from costlens.cli import options as flags
from costlens.cli.output import check_writable, emit, progress, warn, warn_of_script, warn_unknown
from costlens.errors import InputError

if TYPE_CHECKING:
    from costlens.report.lens import Choice
    from costlens.study import Study

_SUFFIXES = {".md": "markdown", ".json": "json", ".txt": "terminal"}


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "savings",
        help="every 1×1 convolution and block against its plain form",
        description="What each 1×1 convolution does, and what each block that is built on them "
        "saves against its plain form: parameters, MACs, activations, memory traffic, depth.",
    )
    flags.add_target(parser)
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--motif", action="append", default=[], metavar="ID", help="blocks of this motif; repeat it"
    )
    shown.add_argument(
        "--baseline", metavar="GLOB", help="plain forms whose name matches, or holds this"
    )
    shown.add_argument("--misses", action="store_true", help="what looked like a block and is none")
    flags.add_output(parser, _SUFFIXES)
    parser.add_argument("--strict", action="store_true", help="exit 3 where a figure is unknown")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Find, price, print; 3 where ``--strict`` finds an unknown."""

    form = flags.format_of(options, _SUFFIXES, "savings")
    choice = _choice(options)
    if options.output is not None:
        check_writable(options.output)
    with progress(f"reading {options.target}", options.quiet):
        study = flags.study(options, options.target)
    if not options.quiet:
        warn_of_script(study.source)
    emit(_render(study, form, choice, options), options.output)
    if not options.quiet:
        _warn(study, choice)
        warn_unknown(study)
    return 3 if options.strict and not study.coverage.complete else 0


def _choice(options: argparse.Namespace) -> Choice:
    from costlens.motifs.catalogue import BY_ID
    from costlens.report.lens import Choice

    for motif in options.motif:
        if motif not in BY_ID:
            raise InputError("--motif", f"{motif!r} is not a motif", f"Motifs: {', '.join(BY_ID)}.")
    return Choice(tuple(options.motif), options.baseline)


def _render(study: Study, form: str, choice: Choice, options: argparse.Namespace) -> str:
    from costlens.report import data, lens, markdown, terminal

    if form == "json":
        made = data.savings_data(study, choice, options.misses)
        return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    document = lens.document(study, choice, options.misses)
    if form == "markdown":
        return markdown.render(document)
    return terminal.render(document, *flags.screen(options.output))


def _warn(study: Study, choice: Choice) -> None:
    name = study.graph.name
    shown = [block for block in study.blocks if choice.has(block.motif)]
    if choice.motifs and not shown:
        warn(f"{name}: no block of {', '.join(choice.motifs)}; --misses says what came near.")
    names = {plain.name for block in shown for plain in block.baselines}
    if not choice.motifs:
        names |= {each.baseline.name for each in study.pointwise if each.baseline}
    if shown and choice.baseline is not None and not any(map(choice.shows, names)):
        known = ", ".join(sorted(names)) or "none"
        warn(f"{name}: no plain form's name has {choice.baseline!r}; there are: {known}.")
