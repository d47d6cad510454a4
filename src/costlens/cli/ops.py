"""``costlens ops``: which layers, operations and blocks are read, and which rules price."""

from __future__ import annotations

import argparse
import shutil
from typing import TYPE_CHECKING, Any

from costlens.cli import options as flags
from costlens.cli.output import emit

if TYPE_CHECKING:
    from costlens.report.document import Document


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "ops",
        help="what is covered: layers, operations, blocks, rules",
        description="Every layer and operation that is read, every block and role of a 1×1 that is "
        "recognised, every op of the graph, and its rule.",
    )
    parser.add_argument("--format", choices=("terminal", "markdown"), default="terminal")
    flags.add_common(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print what is covered, at a terminal or as the Markdown of docs/ops.md."""
    from costlens.report import markdown, terminal

    document = covered()
    if options.format == "markdown":
        emit(markdown.render(document), None)
    else:
        emit(terminal.render(document, shutil.get_terminal_size((120, 24)).columns), None)
    return 0


def covered() -> Document:
    """What is lowered, to which ops, priced by which rules; read from the tables themselves."""
    from costlens.cost.registry import MOVES, RULES, UNCOUNTED, VIEWS
    from costlens.frontends.lowering import LOWERINGS
    from costlens.frontends.lowering.not_lowered import NOT_LOWERED
    from costlens.frontends.lowering.tf import TF_OPS
    from costlens.ir.ops import OPS
    from costlens.motifs.catalogue import MOTIFS
    from costlens.motifs.roles import ROLES
    from costlens.report.document import Column, Document, Paragraph, Section, Table

    def names(prefix: str) -> str:
        keys = (*LOWERINGS, *TF_OPS)
        return ", ".join(sorted(key.removeprefix(prefix) for key in keys if key.startswith(prefix)))

    def priced(op: str) -> str:
        if op in UNCOUNTED:
            return f"unknown: {', '.join(sorted(UNCOUNTED[op]))}"
        if op in VIEWS:
            return "a view: costs nothing"
        if op in MOVES:
            return "moves data: no arithmetic"
        return " ".join((RULES[op].__doc__ or "").split())

    text = (Column("Op", "text"), Column("What it is", "text"), Column("What it costs", "text"))
    ops = Table(text, tuple((op, spec.doc, priced(op)) for op, spec in OPS.items()))
    absent = tuple((key.partition(":")[2], why) for key, why in sorted(NOT_LOWERED.items()))
    pair = (Column("Name", "text"), Column("Why", "text"))
    family = (Column("Id", "text"), Column("Block", "text"), Column("Recognised by", "text"))
    blocks = tuple((m.id, m.title, m.says) for m in MOTIFS)
    titles = (Column("Role of a 1×1", "text"), Column("What it does", "text"))
    roles = tuple((role.id, role.says) for role in ROLES)
    return Document(
        "What costlens reads",
        (
            Section("Layers", (Paragraph("{}.", (names("layer:"),)),)),
            Section("Operations of keras.ops", (Paragraph("{}.", (names("op:"),)),)),
            Section(
                "TensorFlow's operations, in traced models", (Paragraph("{}.", (names("tf:"),)),)
            ),
            Section(
                "Not read from configs: traced where they can be",
                (Table(pair, absent),),
            ),
            Section("Blocks built on 1×1 convolutions", (Table(family, blocks),)),
            Section("Roles of 1×1 convolutions", (Table(titles, roles),)),
            Section("Ops of the graph", (ops,)),
        ),
    )
