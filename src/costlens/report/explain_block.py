"""A block explained: what it was recognised by, each plain form line by line, other widths; and
what a 1×1 is in its network."""

from __future__ import annotations

from collections.abc import Iterator, Set
from fractions import Fraction

from costlens import units
from costlens.analysis.blocks import Baseline
from costlens.analysis.blocks import Block as FoundBlock
from costlens.analysis.counterfactual import Change, Side, counterfactual
from costlens.analysis.figures import ratio, saved
from costlens.analysis.pointwise import Pointwise
from costlens.analysis.sweep import Sweep
from costlens.ir.graph import Graph
from costlens.motifs.catalogue import BY_ID
from costlens.motifs.roles import ROLES
from costlens.report.document import Block, Cell, Column, Fact, Facts, Paragraph, Section, Table
from costlens.report.lens import POLICY, SAME_SHAPES, named
from costlens.report.results import Results


def block_sections(graph: Graph, block: FoundBlock, sweep: Sweep | None) -> Iterator[Section]:
    """What there is to say of a block."""
    about = BY_ID[block.motif]
    yield Section(
        f"{block.path}: {about.title}",
        (Paragraph(f"Recognised by {about.says}. {about.paper}."), _facts(block)),
    )
    for plain in block.baselines:
        yield _form(graph, block, plain)
    if sweep is not None:
        yield _sweep(block, sweep)
    if block.baselines:
        yield Section("How plain forms are made", (Paragraph(SAME_SHAPES), Paragraph(POLICY)))


def _facts(block: FoundBlock) -> Facts:
    own = block.cost
    parts = [
        Fact(name.replace("_", " "), "text", ", ".join(layers))
        for name, layers in block.parts.items()
    ]
    sizes = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in block.sizes.items())
    return Facts(
        (
            *parts,
            Fact("Sizes", "text", sizes),
            Fact("Parameters", "exact", own.params),
            Fact("MACs", "exact", own.macs),
            Fact("Activations", "bytes", own.activation_bytes),
            Fact("Bytes moved", "bytes", own.bytes_moved),
            Fact("FLOPs/byte", "decimal", own.intensity),
            Fact("Depth", "exact", own.depth, "non-linearities on the longest way through it"),
            *([Fact("Note", "text", block.note)] if block.note else []),
        )
    )


def _form(graph: Graph, block: FoundBlock, plain: Baseline) -> Section:
    own, new = block.cost, plain.cost
    changes = counterfactual(graph, block.nodes, plain)
    rows = [_change(change) for change in changes]
    total: tuple[Cell, ...] = (
        "the block", "", None, None, own.macs, new.macs, own.params, new.params,
        own.bytes_moved, new.bytes_moved,
    )  # fmt: skip
    columns = (
        Column("Layer", "text"),
        Column("Is", "text"),
        Column("Kernel", "shape"),
        Column("plain", "shape"),
        Column("MACs", "exact"),
        Column("plain", "exact"),
        Column("Params", "exact", 1),
        Column("plain", "exact", 1),
        Column("Moved", "bytes", 2),
        Column("plain", "bytes", 2),
    )
    note = f"{plain.note[:1].upper()}{plain.note[1:]}." if plain.note else ""
    text = " ".join(filter(None, (_said(plain), note)))
    return Section(
        f"{block.path} as {plain.name}", (Paragraph(text), Table(columns, (*rows, total)))
    )


_SAID = {"macs": "MACs", "params": "parameters", "bytes_moved": "bytes of traffic"}


def _said(plain: Baseline) -> str:
    """The comparison in a sentence: absolute, as a share and as a factor."""
    own, new = plain.own, plain.cost
    made = []
    for field, words in _SAID.items():
        a, b = getattr(own, field), getattr(new, field)
        share, times = saved(b, a), ratio(b, a)
        if share is not None and times is not None:
            verb = "saves" if share >= 0 else "takes"
            more = "" if share >= 0 else " more"
            amount = units.share(abs(share))
            made.append(
                f"{verb} {units.exact(abs(b - a))} {words}{more} ({amount}; {units.factor(times)})"
            )
    return f"Against it this {', '.join(made)}." if made else ""


def _change(change: Change) -> tuple[Cell, ...]:
    def of(side: Side | None, field: str) -> Cell:
        return None if side is None else int(getattr(side.row, field))

    a, b = change.before, change.after
    kernels = (None if side is None else side.kernel for side in (a, b))
    cells: list[Cell] = [change.path, change.kind, *kernels]
    for field in ("macs", "params", "bytes_moved"):
        cells += [of(a, field), of(b, field)]
    return tuple(cells)


def _sweep(block: FoundBlock, sweep: Sweep) -> Section:
    columns = (
        Column("Inner width", "exact"),
        Column("Is", "text"),
        Column("MACs", "exact"),
        Column("Params", "exact"),
        Column("Moved", "bytes", 1),
        Column("Saves MACs", "share"),
        Column("×", "factor"),
    )
    rows = tuple(
        (
            point.width,
            _ratio(point.ratio, sweep.base),
            point.cost.macs,
            point.cost.params,
            point.cost.bytes_moved,
            saved(sweep.plain_macs, point.cost.macs),
            ratio(sweep.plain_macs, point.cost.macs),
        )
        for point in sweep.points
    )
    made: list[Block] = [Paragraph(_closed(sweep)), Table(columns, rows)]
    return Section(f"{block.path} at other widths, against {sweep.plain}", tuple(made))


def _ratio(ratio_: Fraction, base: int) -> str:
    times = 1 / ratio_
    if ratio_ > 1:
        return f"{base:,} ÷ {units.decimal(float(ratio_)) if ratio_.denominator > 1 else ratio_}"
    return f"{base:,} × {units.decimal(float(times)) if times.denominator > 1 else times}"


def _closed(sweep: Sweep) -> str:
    """The polynomial and where it meets the plain form."""
    terms = [
        f"{units.exact(int(n)) if n.denominator == 1 else n}{power}"
        for n, power in ((sweep.a, "·w²"), (sweep.b, "·w"), (sweep.c, ""))
        if n
    ]
    text = f"At an inner width of w it has {' + '.join(terms)} MACs"
    text += f"; {sweep.plain} has {units.exact(sweep.plain_macs)}."
    if sweep.even is None:
        return f"{text} No width saves any." if sweep.points else text
    reduces = sweep.even < sweep.base
    times = sweep.even_ratio if reduces else sweep.even / sweep.base
    return (
        f"{text} It saves up to w = {units.exact(sweep.even)}, {units.exact(sweep.base)} channels "
        f"{'÷' if reduces else '×'} {units.decimal(times or 0.0)}; beyond that it costs more than "
        f"{sweep.plain}."
    )


def _pointwise(study: Results, each: Pointwise) -> Section:
    """What a 1×1 does, why it has no other role, and its plain form outside blocks."""
    says = {role.id: role.says for role in ROLES}
    facts = [
        Fact("Role", "text", each.role, says[each.role]),
        Fact("Channels", "text", f"{each.in_channels} → {each.out_channels}"),
        Fact("Share of MACs", "share", each.share_macs),
    ]
    if each.no_baseline:
        facts.append(Fact("Plain form", "text", "none", each.no_baseline))
    if each.baseline is not None:
        facts.append(Fact("Plain form", "text", each.baseline.name, _said(each.baseline)))
    columns = (Column("Not", "text"), Column("Since", "text"))
    rejected = Table(columns, each.rejected)
    return Section(f"{named(study, each)}: what this 1×1 does", (Facts(tuple(facts)), rejected))


def lens_sections(study: Results, paths: Set[str], most: int = 8) -> Iterator[Section]:
    """What the lens has to say of some layers: their 1×1s, blocks around them, near misses.

    Nothing where there are more than ``most`` of them.
    """
    if len(paths) > most:
        return
    for each in study.pointwise:
        if each.path in paths:
            yield _pointwise(study, each)
    around = [block for block in study.blocks if paths & set(block.layers)]
    if around:
        columns = (Column("Part of the block", "text"), Column("Motif", "text"))
        rows = tuple((block.path, block.motif) for block in around)
        yield Section("Blocks around it", (Table(columns, rows),))
    misses = tuple((m.motif, m.path, m.reason) for m in study.misses if m.path in paths)
    if misses:
        titles = (Column("Not a block of", "text"), Column("At", "text"), Column("Since", "text"))
        yield Section("Near misses", (Table(titles, misses),))
