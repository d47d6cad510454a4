"""How the figures of a layer come about: its ops, their rules, and formulas with the numbers in."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

from costlens import units
from costlens.analysis.rows import Row, calls, leaving
from costlens.analysis.storage import roots
from costlens.analysis.unknown import reason, unknown_figures
from costlens.cost import formulas
from costlens.cost.cost import ZERO, Cost
from costlens.cost.formulas import Term
from costlens.cost.registry import MOVES, RULES, VIEWS
from costlens.errors import InputError
from costlens.ir.graph import Graph, Node, Weight
from costlens.ir.ops import OPS
from costlens.ir.types import Shape, TensorType


@dataclass(frozen=True, slots=True)
class Tensor:
    """What an op reads: a weight, a constant, or what a layer or an op of this layer gives."""

    name: str
    type: TensorType
    source: Literal["weight", "constant", "layer", "op"]


@dataclass(frozen=True, slots=True)
class WeightUse:
    """A weight that a layer call uses; ``counted`` is whether it stands on this call's row.

    Else it stands on the first call of ``owner``.
    """

    path: str
    shape: Shape
    type: TensorType
    params: int
    trainable: bool
    auxiliary: bool
    owner: str
    counted: bool


@dataclass(frozen=True, slots=True)
class OpExplanation:
    """One op call: what it is and reads, its rule and where it stands, a formula for each figure.

    ``cost`` is over all repeats. ``notes`` say why a figure is missing: a view, an epilogue, an
    op that only moves data, an unknown.
    """

    name: str
    op: str
    fn: str
    doc: str
    attrs: tuple[tuple[str, Any], ...]
    operands: tuple[Tensor, ...]
    outputs: tuple[TensorType, ...]
    repeat: int
    rule: str
    where: str
    terms: tuple[Term, ...]
    cost: Cost
    notes: tuple[str, ...]
    at_least: frozenset[str]


@dataclass(frozen=True, slots=True)
class LayerExplanation:
    """One call of a layer: its row, a formula for each figure of it, its weights and its ops."""

    row: Row
    terms: tuple[Term, ...]
    weights: tuple[WeightUse, ...]
    ops: tuple[OpExplanation, ...]


def explain(
    graph: Graph, costs: Sequence[Cost], rows: Sequence[Row], path: str
) -> tuple[LayerExplanation, ...]:
    """One explanation per call of the layer at ``path``, or of each that it matches as a glob.

    Raises InputError, which names the closest paths, where there is none.
    """
    found, root = _named(rows, path), roots(graph)
    indices = {(origin.layer, origin.call): each for origin, each in calls(graph).items()}
    made = []
    for row in found:
        picked = indices.get((row.path, row.call), [])
        nodes, priced = [graph.nodes[i] for i in picked], [costs[i] for i in picked]
        made.append(_layer(graph, row, nodes, priced, root))
    return tuple(made)


def _named(rows: Sequence[Row], path: str) -> list[Row]:
    found = [row for row in rows if row.path == path]
    return found or [row for row in rows if fnmatchcase(row.path, path)] or _none(rows, path)


def _none(rows: Sequence[Row], path: str) -> list[Row]:
    paths = list(dict.fromkeys(row.path for row in rows))
    if any(other.startswith(f"{path}/") for other in paths):
        raise InputError(
            path, "it holds layers and is none itself", f"Write '{path}/*' for those in it."
        )
    close = _closest(paths, path)
    fix = f"Try: {', '.join(close)}." if close else "'costlens analyze' lists the layers."
    raise InputError(path, "the model has no layer of this path", fix)


def _closest(paths: Sequence[str], path: str, most: int = 3) -> list[str]:
    """The paths that are most like one: of the same name, like it in all, of a name like it."""
    *_, name = path.split("/")
    names = {other: other.split("/")[-1] for other in paths}
    alike = get_close_matches(name, dict.fromkeys(names.values()))
    of_name = [other for like in alike for other in paths if names[other] == like]
    same = [other for other in of_name if names[other] == name]
    return [*dict.fromkeys([*same, *get_close_matches(path, paths), *of_name])][:most]


def _layer(
    graph: Graph,
    row: Row,
    nodes: Sequence[Node],
    costs: Sequence[Cost],
    root: Mapping[str, str],
) -> LayerExplanation:
    weights = _weights(graph, row, nodes)
    ops = tuple(_op(graph, node, cost) for node, cost in zip(nodes, costs, strict=True))
    left = formulas.size_in_bytes("activation_bytes", _buffers(graph, nodes, root))
    made = (*_stored(row, weights), *_summed(row, ops), left)
    terms = tuple(term for term in made if getattr(row, term.figure))
    return LayerExplanation(row, terms, weights, ops)


def _weights(graph: Graph, row: Row, nodes: Sequence[Node]) -> tuple[WeightUse, ...]:
    """The weights that a layer owns, then those that it borrows."""
    first = row.call <= 1
    own = [weight for weight in graph.weights.values() if weight.owner == row.path and first]
    read = [graph.weights[v] for node in nodes for v in node.operands if v in graph.weights]
    used = {weight.id: weight for weight in (*own, *read)}
    return tuple(_weight(weight, first and weight.owner == row.path) for weight in used.values())


def _weight(weight: Weight, counted: bool) -> WeightUse:
    return WeightUse(
        path=weight.path,
        shape=weight.type.shape if weight.logical is None else weight.logical,
        type=weight.type,
        params=weight.params,
        trainable=weight.trainable,
        auxiliary=weight.auxiliary,
        owner=weight.owner,
        counted=counted,
    )


def _stored(row: Row, weights: Sequence[WeightUse]) -> Iterator[Term]:
    """Parameters and bytes of the weights that stand on a row."""
    counted = [weight for weight in weights if weight.counted]
    params = [weight for weight in counted if weight.params]
    yield _added("params", ((_short(w.path, row), formulas.dots(w.shape)) for w in params))
    trained = ((_short(w.path, row), formulas.dots(w.shape)) for w in params if w.trainable)
    yield _added("trainable_params", trained)
    yield formulas.size_in_bytes("weight_bytes", [weight.type for weight in counted])


def _summed(row: Row, ops: Sequence[OpExplanation]) -> Iterator[Term]:
    """Figures that add up over the ops, and FLOPs from the operations that they are made of."""
    yield _over_ops("macs", row, ops)
    yield _over_ops("macs_valid", row, ops)
    total = sum((op.cost for op in ops), ZERO)
    kinds = [kind for kind in formulas.OPERATIONS if getattr(total, kind)]
    if len(kinds) == 1 and not total.macs:
        yield replace(_over_ops(kinds[0], row, ops), figure="flops")
    else:
        each = ((formulas.OPERATIONS[k], units.exact(getattr(total, k))) for k in kinds)
        macs = [("2 × MACs", f"2 × {units.exact(total.macs)}")] if total.macs else []
        yield _added("flops", [*macs, *each])
    moved = (("read", total.bytes_read), ("written", total.bytes_written))
    yield _added("bytes_moved", ((kind, units.exact(n)) for kind, n in moved))


def _over_ops(figure: str, row: Row, ops: Sequence[OpExplanation]) -> Term:
    """A figure over the ops; the formula itself where it is all of one op."""
    terms = [(op, term) for op in ops for term in op.terms if term.figure == figure]
    if len(terms) == 1:
        return terms[0][1]
    parts = ((_short(op.name, row), getattr(op.cost, figure)) for op, _ in terms)
    return _added(figure, ((name, units.exact(n)) for name, n in parts))


def _added(figure: str, parts: Iterable[tuple[str, str]]) -> Term:
    pairs = list(parts)
    return Term(figure, " + ".join(p[0] for p in pairs), " + ".join(p[1] for p in pairs))


def _short(name: str, row: Row) -> str:
    """A name within its layer."""
    return name.removeprefix(f"{row.path}/")


def _buffers(graph: Graph, nodes: Sequence[Node], root: Mapping[str, str]) -> list[TensorType]:
    """The buffers that a layer call leaves behind: the largest of those values that share one."""
    if not nodes:
        return []
    made = {value for node in nodes for value in node.outputs}
    largest: dict[str, TensorType] = {}
    for value in leaving(graph, nodes, set(graph.outputs)):
        held, type_ = largest.get(root[value]), graph.values[value]
        if root[value] in made and (held is None or type_.nbytes > held.nbytes):
            largest[root[value]] = type_
    return list(largest.values())


def _op(graph: Graph, node: Node, cost: Cost) -> OpExplanation:
    return OpExplanation(
        name=node.name,
        op=node.op,
        fn=str(node.attrs.get("fn", "")),
        doc=OPS[node.op].doc,
        attrs=tuple((name, value) for name, value in node.attrs.items() if _tells(name, value)),
        operands=tuple(_operand(graph, node, value) for value in dict.fromkeys(node.operands)),
        outputs=tuple(graph.values[value] for value in node.outputs),
        repeat=node.repeat,
        rule=_rule(node.op),
        where=formulas.where(node.op),
        terms=formulas.terms(graph, node),
        cost=cost,
        notes=tuple(_notes(graph, node, cost)),
        at_least=unknown_figures(graph, node),
    )


_SEEN_ELSEWHERE = frozenset({"fn", "types", "dtype", "shape", "size", "reason", "kind"})
_USUAL = {"groups": 1, "channels_last": True}


def _tells(name: str, value: Any) -> bool:
    """Whether an attribute says more than the types do, and more than the usual."""
    if name in _USUAL:
        return bool(value != _USUAL[name])
    if name == "dilation":
        return any(gap != 1 for gap in value)
    return name not in _SEEN_ELSEWHERE and value is not None and value is not False


def _operand(graph: Graph, node: Node, value: str) -> Tensor:
    type_, made = graph.values[value], graph.producer.get(value)
    if value in graph.weights:
        return Tensor(graph.weights[value].path, type_, "weight")
    if made is None:
        return Tensor(value, type_, "constant")
    if made.origin == node.origin:
        return Tensor(made.name, type_, "op")
    return Tensor(made.origin.layer, type_, "layer")


def _rule(op: str) -> str:
    """The rule in its own words."""
    if op in RULES:
        return " ".join((inspect.getdoc(RULES[op]) or "").split())
    if op in VIEWS:
        return "A view costs nothing at all."
    if op in MOVES:
        return "Data movement: no arithmetic, only bytes."
    return "Only its bytes are known."


def _notes(graph: Graph, node: Node, cost: Cost) -> Iterator[str]:
    """Why figures are missing that a reader might look for."""
    unknown = reason(graph, node)
    if unknown:
        yield f"Not fully counted: {unknown}."
    if node.repeat == 0:
        yield "A branch that is not counted: it runs 0 times."
    elif node.op == "input":
        yield "It is there before the first layer runs: no bytes are moved to make it."
    elif node.op in VIEWS:
        yield "It shares the buffer of what it reads: nothing is computed, no bytes are moved."
    elif node.name in graph.epilogues:
        yield (
            "An epilogue: its operand is made and used up within this layer, so it writes over it "
            "and moves no bytes of its own."
        )
    if node.op in RULES and node.repeat and not cost.flops:
        yield "Its rule finds nothing to compute in this call."
