"""Studies → documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costlens import units
from costlens.analysis.tree import Line, by_type, flat, hot_spots, select, tree
from costlens.report import lens
from costlens.report.document import (
    Cell,
    Column,
    Document,
    Fact,
    Facts,
    Paragraph,
    Section,
    Table,
    bound,
)
from costlens.report.results import Results


@dataclass(frozen=True, slots=True)
class View:
    """Which rows a report shows, and how: the flags of ``analyze``."""

    depth: int | None = None
    top: int | None = None
    sort: str | None = None
    layer: str | None = None

    @property
    def picks(self) -> bool:
        """Whether the rows are a selection, which is shown flat."""
        return self.top is not None or self.sort is not None or self.layer is not None


def summary(study: Results, view: View | None = None) -> Document:
    """The analysis of one model: totals, layers, types, 1×1s, blocks, hot spots, the peak,
    coverage."""
    return Document(
        study.graph.name,
        (
            Section("Totals", (totals_facts(study),)),
            Section("Layers", (_layers(study, view or View()),)),
            Section("By layer type", (_types(study),)),
            *lens.summary(study),
            Section("Hot spots", (_hot_spots(study),)),
            Section("Memory at the peak", _peak(study)),
            *_witness(study),
            Section("Coverage", _coverage(study)),
        ),
    )


def totals_facts(study: Results) -> Facts:
    """The headline figures of a model."""
    totals, graph = study.totals, study.graph
    at_peak = units.printable(study.memory.at)
    valid = _beside(study, "macs_valid", "macs", "on real input, without padded taps")
    folded = _beside(study, "flops_folded", "flops", "with batch norms folded")
    return Facts(
        (
            Fact("Parameters", "exact", totals.params, _trainable(study)),
            Fact("MACs", "exact", bound(totals, "macs"), valid),
            *_training(study),
            Fact("FLOPs", "exact", bound(totals, "flops"), folded),
            Fact("Weights", "bytes", totals.weight_bytes, _constants(study)),
            Fact("Activations", "bytes", bound(totals, "activation_bytes"), "all layer outputs"),
            Fact("Bytes moved", "bytes", bound(totals, "bytes_moved"), "each operand read once"),
            Fact("Peak memory", "bytes", bound(totals, "peak_memory_bytes"), f"at {at_peak}"),
            Fact("Layers", "exact", totals.layers, units.plural(len(graph.nodes), "op call")),
            Fact("Inputs", "text", _ports(study, graph.inputs)),
            Fact("Outputs", "text", _ports(study, graph.outputs)),
            Fact("Source", "text", study.source.target),
            *_verified(study),
        )
    )


def _training(study: Results) -> Sequence[Fact]:
    totals = study.totals
    if totals.training_macs is None:
        return ()
    times = f"{units.factor(totals.training_macs / totals.macs)} inference: " if totals.macs else ""
    words = f"{times}forward and backward, without the optimizer"
    return (Fact("Training MACs", "exact", bound(totals, "training_macs"), words),)


def _verified(study: Results) -> Sequence[Fact]:
    found = study.verification
    if found is None:
        return ()
    if found.differing:
        words = f"{len(found.differing):,} of {units.plural(found.scopes, 'scope')} differ"
    else:
        words = f"{units.plural(found.scopes - len(found.unread), 'scope')} agree"
    text = f"{words} on MACs and parameters with {found.witness}"
    if found.unread:
        text += f"; {len(found.unread):,} could not be compared"
    return (Fact("Verified", "text", text),)


def _witness(study: Results) -> Sequence[Section]:
    """The second witness: scopes that differ, and why other operations do."""
    found = study.verification
    if found is None:
        return ()
    blocks: list[Paragraph | Table] = [Paragraph(f"{_verified(study)[0].value}.")]
    differing: list[tuple[Cell, ...]] = [
        (d.path, d.type, d.macs, d.traced_macs, d.params, d.traced_params) for d in found.differing
    ]
    others: list[tuple[Cell, ...]] = [
        (o.type, o.scopes, o.flops, o.traced_flops, o.reason) for o in found.others
    ]
    for columns, rows in (
        (_DIFFERING, differing),
        (_UNREAD, found.unread),
        (_OTHERS, others),
    ):
        if rows:
            blocks.append(Table(columns, tuple(rows)))
    return (Section("Second witness", tuple(blocks)),)


def _trainable(study: Results) -> str:
    return f"{units.exact(study.totals.trainable_params)} trainable"


def _beside(study: Results, field: str, than: str, words: str) -> str:
    """A second figure, where it differs from the first."""
    value = int(getattr(study.totals, field))
    if value == int(getattr(study.totals, than)):
        return ""
    return f"{units.exact(value, field in study.totals.at_least)} {words}"


def _constants(study: Results) -> str:
    nbytes = study.totals.constant_bytes
    return f"and {units.size(nbytes)} of constants" if nbytes else ""


def _ports(study: Results, values: Sequence[str], limit: int = 8) -> str:
    graph = study.graph
    shown = []
    for value in values[:limit]:
        made, type_ = graph.producer.get(value), graph.values[value]
        name = made.origin.layer if made else value
        shown.append(f"{name} {units.shape(type_.shape)} {type_.dtype}")
    rest = len(values) - limit
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _layers(study: Results, view: View) -> Table:
    total = study.totals.macs
    rows = select(study.layers, view.layer, view.sort, view.top)
    lines = flat(rows, total) if view.picks else tree(rows, total, view.depth)
    trained = study.totals.training_macs is not None
    columns = (
        Column("Layer", "text"),
        Column("Type", "text", 1),
        Column("Output", "shape"),
        Column("Params", "count"),
        Column("MACs", "count"),
        *((Column("Training MACs", "count"), Column("×", "factor")) if trained else ()),
        Column("FLOPs", "count", 2),
        Column("Weights", "bytes", 4),
        Column("Activations", "bytes", 3),
        Column("Moved", "bytes", 5),
        Column("MACs %", "bar"),
    )
    levels = tuple(line.level for line in lines)
    return Table(columns, tuple(_line(line, trained) for line in lines), levels)


def _line(line: Line, trained: bool) -> tuple[Cell, ...]:
    label = line.label if line.call <= 1 else f"{line.label} (call {line.call})"
    return (
        label,
        line.type,
        line.output,
        "shared" if line.shared else line.params,
        bound(line, "macs"),
        *(_trained(line) if trained else ()),
        bound(line, "flops"),
        line.weight_bytes,
        line.activation_bytes,
        bound(line, "bytes_moved"),
        line.share_macs,
    )


_DIFFERING = (
    Column("Scope", "text"),
    Column("Type", "text", 1),
    Column("MACs", "exact"),
    Column("Traced MACs", "exact"),
    Column("Params", "exact"),
    Column("Traced params", "exact"),
)
_UNREAD = (Column("Not compared", "text"), Column("Why", "text"))
_OTHERS = (
    Column("Other operations", "text"),
    Column("Scopes", "exact", 1),
    Column("FLOPs", "count"),
    Column("Traced FLOPs", "count"),
    Column("Why they differ", "text"),
)


def _trained(line: Line) -> tuple[Cell, ...]:
    if line.training_macs is None:
        return None, None
    return bound(line, "training_macs"), line.training_macs / line.macs if line.macs else None


def _types(study: Results) -> Table:
    columns = (
        Column("Type", "text"),
        Column("Calls", "exact"),
        Column("Params", "count"),
        Column("MACs", "count"),
        Column("FLOPs", "count", 1),
        Column("Activations", "bytes", 2),
        Column("MACs %", "bar"),
    )
    rows: list[tuple[Cell, ...]] = []
    for g in by_type(study.layers, study.totals.macs):
        macs, flops = bound(g, "macs"), bound(g, "flops")
        rows.append((g.type, g.calls, g.params, macs, flops, g.activation_bytes, g.share_macs))
    return Table(columns, tuple(rows))


_MEASURES = {
    "macs": "MACs",
    "params": "Parameters",
    "activation_bytes": "Activations",
    "bytes_moved": "Bytes moved",
}


def _hot_spots(study: Results) -> Table:
    columns = (
        Column("Most", "text"),
        Column("Layer", "text"),
        Column("Type", "text", 1),
        Column("Figure", "text"),
        Column("Share", "bar"),
    )
    rows = []
    for spot in hot_spots(study.layers):
        form = units.size if "bytes" in spot.measure else units.count
        rows.append((_MEASURES[spot.measure], spot.path, spot.type, form(spot.value), spot.share))
    return Table(columns, tuple(rows))


def _peak(study: Results, limit: int = 10) -> tuple[Paragraph | Table, ...]:
    found = study.memory
    if not found.live:
        return (Paragraph("No activation has a size."),)
    more = len(found.live) - limit
    text = (
        f"{units.size(found.peak_bytes, 'peak_memory_bytes' in study.totals.at_least)} of "
        f"activations are alive at {{}} (policy {found.policy}: Keras's run order, nothing in "
        "place but bias and activation of the same layer)."
        + (f" The {limit} largest of {len(found.live)} tensors:" if more > 0 else "")
    )
    columns = (
        Column("Alive at the peak", "text"),
        Column("Tensor", "text", 1),
        Column("Bytes", "exact"),
        Column("Size", "bytes"),
    )
    rows = tuple(
        (t.layer, t.value.removeprefix(f"{t.layer}/"), t.bytes, t.bytes) for t in found.live[:limit]
    )
    return (Paragraph(text, (found.at,)), Table(columns, rows))


def _coverage(study: Results) -> tuple[Paragraph | Table, ...]:
    found = study.coverage
    line = (
        f"{units.plural(found.calls, 'op call')}: {found.counted:,} counted, {found.zero:,} "
        f"without arithmetic, {len(found.unknown):,} unknown."
    )
    if found.complete and study.source.warnings:
        line += " Every figure is exact for the model as it was read, which may rest on the notes."
    elif found.complete:
        line += " Every figure is exact."
    blocks: list[Paragraph | Table] = [Paragraph(line)]
    if found.unknown:
        columns = (Column("Unknown", "text"), Column("Op", "text"), Column("Why", "text"))
        rows = tuple((u.layer, u.op, u.reason) for u in found.unknown)
        blocks.append(Table(columns, rows))
    blocks += [Paragraph("{}", (note,)) for note in study.graph.notes]
    if study.source.others:
        shown = ", ".join(map(_other, study.source.others, study.source.lines))
        blocks.append(Paragraph("Other models in the same place: {}.", (shown,)))
    return tuple(blocks)


def _other(other: tuple[str, int], line: int | None) -> str:
    name, params = other
    made = f", line {line}" if line else ""
    return f"{name} ({units.count(params)} parameters{made})"
