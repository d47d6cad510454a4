"""Compare the graph of a model's layers with the graph that its framework traces of it.

The two are read in different ways, and priced by the same rules. Multiply-accumulates and
parameters have to agree scope by scope, which is call by call of a layer; other operations differ
where a framework writes a layer in more or other steps than its definition has, and each such
difference is explained by the operations on either side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from costlens.analysis.rows import calls
from costlens.analysis.unknown import reason
from costlens.cost.cost import ZERO, Cost
from costlens.ir.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Difference:
    """A scope whose MACs or parameters are not the same in both graphs."""

    path: str
    call: int
    type: str
    macs: int
    traced_macs: int
    params: int
    traced_params: int


@dataclass(frozen=True, slots=True)
class Other:
    """The layers of one type whose other operations differ, in all, and why."""

    type: str
    scopes: int
    flops: int
    traced_flops: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What comparing gave: how many scopes, which differ, and what no witness could be read of.

    ``unread`` names scopes in which one of the graphs holds an unknown operation: there the
    figures are lower bounds on that side.
    """

    witness: str
    scopes: int
    differing: tuple[Difference, ...]
    others: tuple[Other, ...]
    unread: tuple[tuple[str, str], ...]

    @property
    def agrees(self) -> bool:
        """Whether MACs and parameters are the same in every scope."""
        return not self.differing


def verify(
    graph: Graph, costs: Sequence[Cost], traced: Graph, traced_costs: Sequence[Cost], witness: str
) -> Verification:
    """Compare the two graphs of one model, each priced; ``witness`` names the traced one."""
    ours, theirs = _scopes(graph, costs), _scopes(traced, traced_costs)
    both = list(dict.fromkeys((*ours, *theirs)))
    unread = {key: why for side in (ours, theirs) for key in side if (why := _unread(side[key]))}
    differing: list[Difference] = []
    others: dict[str, list[tuple[_Scope, _Scope]]] = {}
    for key in both:
        one, two = ours.get(key, _NOTHING), theirs.get(key, _NOTHING)
        if key not in unread and (one.cost.macs, one.params) != (two.cost.macs, two.params):
            kind = (one if one.nodes else two).kind
            differing.append(
                Difference(*key, kind, one.cost.macs, two.cost.macs, one.params, two.params)
            )
        if one.nodes and two.nodes and _rest(one.cost) != _rest(two.cost):
            others.setdefault(one.kind, []).append((one, two))
    return Verification(
        witness,
        len(both),
        tuple(differing),
        tuple(_other(kind, pairs) for kind, pairs in others.items()),
        tuple((_label(key), why) for key, why in unread.items()),
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """One call of a layer in one of the graphs."""

    kind: str
    graph: Graph | None
    nodes: tuple[Node, ...]
    cost: Cost
    params: int


_NOTHING = _Scope("", None, (), ZERO, 0)
_Key = tuple[str, int]


def _scopes(graph: Graph, costs: Sequence[Cost]) -> Mapping[_Key, _Scope]:
    owned: Counter[str] = Counter()
    for weight in graph.weights.values():
        owned[weight.owner] += weight.params
    made: dict[_Key, _Scope] = {}
    for origin, indices in calls(graph).items():
        nodes = tuple(graph.nodes[i] for i in indices)
        cost = sum((costs[i] for i in indices), ZERO)
        params = owned.pop(origin.layer, 0) if origin.call == 1 else 0
        made[origin.layer, origin.call] = _Scope(origin.kind, graph, nodes, cost, params)
    left = sum(owned.values())
    if left:  # layers that are never called, wherever either graph says that they are
        made["", 0] = _Scope("not called", graph, (), ZERO, left)
    return made


def _unread(scope: _Scope) -> str:
    assert scope.graph is not None
    unknown = [node for node in scope.nodes if node.op == "unknown"]
    return reason(scope.graph, unknown[0]) if unknown else ""


def _rest(cost: Cost) -> Cost:
    """The operations that are no multiply-accumulates."""
    return replace(cost, macs=0, macs_valid=0, bytes_read=0, bytes_written=0)


def _label(key: _Key) -> str:
    path, call = key
    return path if call <= 1 else f"{path} (call {call})"


def _other(kind: str, pairs: Sequence[tuple[_Scope, _Scope]]) -> Other:
    """All scopes of one type together; the reason is what one side has and the other has not."""
    one, two = _operations(pairs[0][0]), _operations(pairs[0][1])
    read, traced = _listed(one - two), _listed(two - one)
    if not read and not traced:
        why = "the same operations, on other shapes"
    elif not read:
        why = f"traced besides: {traced}"
    elif not traced:
        why = f"read besides: {read}"
    else:
        why = f"read as {read}; traced as {traced}"
    return Other(
        kind,
        len(pairs),
        sum(_rest(a.cost).flops for a, _ in pairs),
        sum(_rest(b.cost).flops for _, b in pairs),
        why,
    )


_FREE = ("reshape", "identity", "transpose", "concat", "slice", "pad", "gather", "broadcast",
         "rearrange", "cast", "fill", "step", "stack", "last", "input", "conv", "conv_transpose",
         "einsum")  # fmt: skip


def _operations(scope: _Scope) -> Counter[str]:
    """The operations with arithmetic that is no MAC, by name."""
    return Counter(
        str(node.attrs.get("fn") or node.op)
        for node in scope.nodes
        if node.op not in _FREE and node.repeat
    )


def _listed(operations: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" if n > 1 else name for name, n in sorted(operations.items()))
