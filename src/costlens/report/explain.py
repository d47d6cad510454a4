"""Explanations → documents: a layer's figures, its weights, and each op with its formulas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from costlens import units
from costlens.analysis.explain import LayerExplanation, OpExplanation, Tensor, WeightUse
from costlens.analysis.rows import Row
from costlens.cost.formulas import Term
from costlens.report.document import (
    AtLeast,
    Block,
    Cell,
    Column,
    Document,
    Fact,
    Facts,
    Paragraph,
    Section,
    Table,
)

_LABELS = {
    "params": "Parameters",
    "trainable_params": "Trainable",
    "macs": "MACs",
    "macs_valid": "Valid MACs",
    "flops": "FLOPs",
    "adds": "Additions",
    "muls": "Multiplications",
    "divs": "Divisions",
    "comparisons": "Comparisons",
    "transcendentals": "Transcendentals",
    "weight_bytes": "Weight bytes",
    "activation_bytes": "Activation bytes",
    "bytes_moved": "Bytes moved",
    "bytes_read": "Bytes read",
    "bytes_written": "Bytes written",
}
_HEADLINES = ("params", "macs", "flops", "weight_bytes", "activation_bytes", "bytes_moved")
_SAID_ONCE = {"macs_valid": "macs", "trainable_params": "params"}
"""A figure that is shown only where it differs from another."""
_BOUND = {"bytes_read": "bytes_moved", "bytes_written": "bytes_moved"}
"""The figure that says whether one is a lower bound, where it is not itself."""

_FORMULAS = (
    Column("Figure", "text"),
    Column("How it comes about", "text"),
    Column("Comes to", "exact"),
)


def document(model: str, explained: Sequence[LayerExplanation]) -> Document:
    """How the figures of some layers of a model come about."""
    shown: list[LayerExplanation] = []
    sections: list[Section] = []
    for layer in explained:
        sections += _layer(layer, next((one for one in shown if _same_call(one, layer)), None))
        shown.append(layer)
    return Document(model, tuple(sections))


def _layer(layer: LayerExplanation, alike: LayerExplanation | None) -> Iterator[Section]:
    """The sections of a layer call; one whose ops are those of another call refers to it."""
    row = layer.row
    title = row.path if row.call <= 1 else f"{row.path} (call {row.call})"
    blocks = list(_figures(layer))
    if alike is not None:
        blocks.append(Paragraph(f"Op by op this call is the same as call {alike.row.call}."))
    yield Section(title, tuple(blocks))
    if layer.weights:
        yield Section(f"{title}: weights", (_weights(row, layer.weights),))
    if alike is not None:
        return
    if len(layer.ops) > 1:
        yield Section(f"{title}: ops", (_ops(layer),))
    for group in _alike(layer.ops):
        yield Section(f"{group[0].name}: {_kind(group[0])}", tuple(_op(group, row.path)))


def _figures(layer: LayerExplanation) -> Iterator[Block]:
    row = layer.row
    facts = [Fact("Layer", "text", row.type, units.plural(len(layer.ops), "op"))]
    facts += [Fact("Takes", "shape", shape) for shape in row.input_shapes]
    facts += [Fact("Gives", "shape", shape, row.dtype) for shape in row.output_shapes]
    facts += [Fact("Unknown", "text", why) for why in row.unknown]
    yield Facts(tuple(facts))
    found = {term.figure for term in layer.terms}
    lines = [line for term in layer.terms for line in _lines(term, row, row.at_least)]
    lines += [
        (label, "not known", AtLeast(0))
        for figure, label in _LABELS.items()
        if figure in row.at_least and figure not in found
    ]
    if lines:
        yield Table(_FORMULAS, tuple(lines))
    zero = [_LABELS[f] for f in _HEADLINES if f not in found and f not in row.at_least]
    if zero:
        yield Paragraph(f"Zero: {', '.join(zero)}.")


def _lines(term: Term, figures: Any, at_least: frozenset[str]) -> Iterator[tuple[Cell, ...]]:
    """A formula in words, and below it the numbers and what they come to."""
    figure, value = term.figure, int(getattr(figures, term.figure))
    if figure in _SAID_ONCE and value == getattr(figures, _SAID_ONCE[figure]):
        return
    bound = _BOUND.get(figure, figure) in at_least
    yield (_LABELS[figure], term.words, "")
    yield ("", term.numbers, AtLeast(value) if bound else value)


def _weights(row: Row, weights: Sequence[WeightUse]) -> Table:
    columns = (
        Column("Weight", "text"),
        Column("Shape", "shape"),
        Column("Type", "text", 1),
        Column("Parameters", "exact"),
        Column("Trained", "text"),
        Column("Bytes", "exact", 2),
    )
    rows: list[tuple[Cell, ...]] = []
    for weight in weights:
        first = "call 1" if weight.owner == row.path else weight.owner
        params: Cell = weight.params if weight.counted else f"on {first}"
        trained, type_ = "yes" if weight.trainable else "no", weight.type
        rows.append((weight.path, weight.shape, type_.dtype, params, trained, type_.nbytes))
    return Table(columns, tuple(rows))


def _ops(layer: LayerExplanation) -> Table:
    columns = (
        Column("In this order", "text"),
        Column("Op", "text"),
        Column("Steps", "exact", 1),
        Column("MACs", "exact"),
        Column("FLOPs", "exact"),
        Column("Bytes moved", "exact"),
    )
    rows: list[tuple[Cell, ...]] = []
    for op in layer.ops:
        figures = (_of(op, figure) for figure in ("macs", "flops", "bytes_moved"))
        rows.append((_short(op.name, layer.row.path), op.op, op.repeat, *figures))
    return Table(columns, tuple(rows))


def _of(op: OpExplanation, figure: str) -> Cell:
    value = int(getattr(op.cost, figure))
    return AtLeast(value) if figure in op.at_least else value


def _short(name: str, path: str) -> str:
    """A name within its layer."""
    return name.removeprefix(f"{path}/")


def _kind(op: OpExplanation) -> str:
    return f"{op.op} {op.fn}" if op.fn and op.fn != op.op else op.op


def _alike(ops: Sequence[OpExplanation]) -> list[list[OpExplanation]]:
    """The ops in order; those that have the same figures for the same reasons stand together."""
    groups: list[list[OpExplanation]] = []
    for op in ops:
        found = next((group for group in groups if _look(group[0]) == _look(op)), None)
        if found is None:
            groups.append([op])
        else:
            found.append(op)
    return groups


def _look(op: OpExplanation) -> tuple[Any, ...]:
    """An op without its names, and without the settings that its formulas do not show."""
    operands = [tensor.type for tensor in op.operands]
    return op.op, op.fn, operands, op.outputs, op.repeat, op.terms, op.notes


def _same_call(one: LayerExplanation, other: LayerExplanation) -> bool:
    """Whether two are calls of one layer with the same ops."""
    same = one.row.path == other.row.path and bool(one.ops)
    return same and [*map(_look, one.ops)] == [*map(_look, other.ops)]


def _op(alike: Sequence[OpExplanation], path: str, limit: int = 6) -> Iterator[Block]:
    op = alike[0]
    facts = [Fact("Op", "text", op.op, op.doc)]
    facts += [_operand(tensor, path) for tensor in op.operands[:limit]]
    if len(op.operands) > limit:
        facts.append(Fact("Reads", "text", f"{len(op.operands) - limit:,} more"))
    facts += [Fact("Writes", "shape", type_.shape, type_.dtype) for type_ in op.outputs]
    if op.attrs:
        facts.append(Fact("Settings", "text", ", ".join(_setting(*pair) for pair in op.attrs)))
    if op.repeat != 1:
        facts.append(Fact("Steps", "exact", op.repeat, "of a loop"))
    facts.append(Fact("Rule", "text", op.where or "none", op.rule))
    if len(alike) > 1:
        others = ", ".join(_short(other.name, path) for other in alike[1:])
        facts.append(Fact("Likewise", "text", others))
    yield Facts(tuple(facts))
    lines = [line for term in op.terms for line in _lines(term, op.cost, op.at_least)]
    if lines:
        yield Table(_FORMULAS, tuple(lines))
    for note in op.notes:
        yield Paragraph("{}", (note,))


_FROM = {"weight": "the weight", "constant": "the constant", "layer": "from", "op": "from its"}


def _operand(tensor: Tensor, path: str) -> Fact:
    name = tensor.name if tensor.source == "layer" else _short(tensor.name, path)
    detail = f"{tensor.type.dtype}, {_FROM[tensor.source]} {name}"
    return Fact("Reads", "shape", tensor.type.shape, detail)


def _setting(name: str, value: Any) -> str:
    if name == "channels_last":
        return "channels first"
    if name in ("padding", "crop"):
        return f"{name} {', '.join(f'{before}+{after}' for before, after in value)}"
    if value is True:
        return name
    return f"{name} {units.shape(value) if isinstance(value, tuple) else value}"
