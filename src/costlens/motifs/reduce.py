"""Graph → skeleton: one pass that tells units from trimmings.

What becomes of each op stands in one table. Values that hang on weights and constants alone, and
truth values, are *side* values: they trim, and never make a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from costlens.ir.graph import Graph, Node
from costlens.ir.ops import label_sizes
from costlens.ir.types import Shape, TensorType
from costlens.motifs.axes import Axes, of_layout, reshaped, transposed, without
from costlens.motifs.skeleton import SPARSEMAX, Link, Mix, Skeleton, Unit, nonlinear


def skeleton(graph: Graph) -> Skeleton:
    """Reduce a graph to its units."""
    reducer = _Reducer(graph)
    for node in graph.nodes:
        reducer.read(node)
    reducer.end()
    return Skeleton(
        graph, tuple(reducer.units), reducer.place, reducer.axes, frozenset(reducer.side)
    )


class _Reducer:
    """Collects units; lives for one pass."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.units: list[Unit] = []
        self.place: dict[str, tuple[int, bool]] = {}
        self.axes: dict[str, Axes] = {}
        self.points: set[str] = set()
        self.stats: set[str] = set()
        self.side: set[str] = {*graph.weights, *graph.constants}
        layouts = [n.attrs["channels_last"] for n in graph.nodes if "channels_last" in n.attrs]
        self.first = 2 * sum(layouts) < len(layouts)

    def read(self, node: Node) -> None:
        """Take in the next node."""
        live = [value for value in node.operands if value not in self.side]
        made = [self.graph.values[value] for value in node.outputs]
        if node.op == "input":
            self.unit("input", node, ())
        elif not live or (made and all(type_.dtype == "bool" for type_ in made)):
            self.side.update(node.outputs)
        else:
            _READ.get(node.op, _other)(self, node, live)

    def end(self) -> None:
        """What leaves the graph is read once more, by the unit that stands for its caller."""
        values = [value for value in self.graph.outputs if value in self.place]
        links = tuple(Link(*self._from(value)) for value in values)
        if self.graph.nodes and links:
            node = self.graph.producer[values[-1]]
            self.units.append(Unit(len(self.units), "output", node, (), links))

    def type(self, value: str) -> TensorType:
        """The type of a value."""
        return self.graph.values[value]

    def channels(self, value: str) -> Axes:
        """The channel axes of a value: as tracked, or where they usually are."""
        known = self.axes.get(value)
        if known:
            return known
        rank = self.type(value).rank
        return (1,) if self.first and rank > 2 else (rank - 1,) if rank else ()

    def _from(self, value: str) -> tuple[int, str, bool]:
        """Where a value comes from; a statistic that more than trims is a step of its own."""
        if value in self.stats:
            self.stats.discard(value)
            node, (source, activated) = self.graph.producer[value], self.place[value]
            link = Link(source, self._through(node), activated)
            self.place[value] = (len(self.units), False)
            self.units.append(Unit(len(self.units), "other", node, (node,), (link,)))
        index, activated = self.place[value]
        return index, value, activated

    def _through(self, node: Node) -> str:
        return next(value for value in node.operands if value in self.place)

    def unit(
        self,
        kind: str,
        node: Node,
        live: Sequence[str],
        axes: Axes | None = None,
        mix: Mix | None = None,
        point: bool = False,
    ) -> None:
        """A node that is a step of its own."""
        links = tuple([Link(*self._from(value)) for value in live])
        index = len(self.units)
        for value in node.outputs:
            self.place[value] = (index, False)
            if axes is not None:
                self.axes[value] = axes
            self.axes[value] = self.channels(value)
            if self.on_point(value, point):
                self.points.add(value)
        at_point = bool(node.outputs) and node.outputs[0] in self.points
        self.units.append(Unit(index, kind, node, (node,), links, mix, at_point))

    def trim(self, node: Node, live: Sequence[str], axes: Axes | None = None) -> None:
        """A node that only trims what its one unit made."""
        index = self.place[live[0]][0]
        whole = [value for value in live if value not in self.stats]
        bent = nonlinear(node) or any(self.place[v][1] for v in whole) or len(whole) > 1
        value = node.outputs[0]
        self.place[value] = (index, bent)
        if not whole:
            self.stats.add(value)
        if axes or self.type(value).rank == self.type(live[0]).rank:
            self.axes[value] = axes or self.channels(live[0])
        self.axes[value] = self.channels(value)
        if self.on_point(value, live[0] in self.points):
            self.points.add(value)

    def on_point(self, value: str, otherwise: bool) -> bool:
        """Whether a value is a map of one position; a vector is if what it comes from is."""
        axes, shape = self.axes[value], self.type(value).shape
        spatial = [n for axis, n in enumerate(shape) if axis and axis not in axes]
        return prod(spatial) == 1 if spatial else otherwise

    def same(self, live: Sequence[str], node: Node) -> bool:
        """Whether all these come from one unit and have the node's own shape, statistics aside.

        What is computed of statistics alone is one, also where a weight gives it channels again.
        """
        whole = [value for value in live if value not in self.stats]
        shapes = {self.type(value).shape for value in (*whole, node.outputs[0])}
        return len({self.place[value][0] for value in live}) == 1 and len(shapes) == 1


_Read = Callable[[_Reducer, Node, Sequence[str]], None]


def _other(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    r.unit("other", node, live)


def _opaque(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    """Sparsemax sorts, and is an activation all the same."""
    if node.attrs["fn"] == SPARSEMAX:
        _trim(r, node, live)
    else:
        r.unit("other", node, live)


def _trim(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    """Elementwise, or a normalisation, of one activation."""
    if r.same(live, node):
        r.trim(node, live)
    else:
        r.unit("other", node, live)


def _elementwise(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    """A merge of two activations; a trimming where both are one and the same unit's."""
    if r.same(live, node):
        r.trim(node, live)
        return
    fn = node.attrs.get("fn", "")
    kind = {"add": "add", "subtract": "add", "multiply": "multiply"}.get(fn, "join")
    widest = max(live, key=lambda value: r.type(value).size)
    point = all(value in r.points for value in live)
    same = r.type(widest).rank == r.type(node.outputs[0]).rank
    r.unit(kind, node, live, r.channels(widest) if same else None, point=point)


def _conv(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    x, kernel = node.operands[:2]
    rank = r.type(x).rank
    axes = of_layout(node, rank)
    if list(live) != [x]:
        r.unit("product", node, live, axes)
        return
    *taps, rows, cout = r.type(kernel).shape
    turned = node.op == "conv_transpose"
    groups = node.attrs.get("groups", 1)
    mix = Mix(
        tuple(taps),
        node.attrs["strides"],
        node.attrs["dilation"],
        groups,
        cout if turned else rows * groups,
        rows * groups if turned else cout,
        transposed=turned,
    )
    r.unit("mix", node, live, axes, mix)


def _einsum(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    if len(live) != 1:
        r.unit("product", node, live, _product_axes(r, node))
        return
    x = live[0]
    left, output = node.attrs["equation"].split("->")
    terms = left.split(",")
    at = node.operands.index(x)
    mine, kernel = terms[at], terms[1 - at]
    types = tuple(r.type(value) for value in node.operands)
    sizes = label_sizes(types, node.attrs["equation"])
    gone = [label for label in mine if label in kernel and label not in output]
    kept = [label for label in mine if label in kernel and label in output]
    new = [label for label in kernel if label not in mine]
    if not gone or any(label not in output for label in mine if label not in kernel):
        r.unit("other", node, live)
        return
    channels = {mine[axis] for axis in r.channels(x)}
    vector = len(channels) + 1 >= len(mine) and x not in r.points
    own = set(gone + kept) <= channels and not vector
    groups = prod(sizes[label] for label in kept)
    ends = {*new, *(channels & set(output))} if own or vector else channels & set(output) or {*new}
    axes = tuple(axis for axis, label in enumerate(output) if label in ends)
    cin = groups * prod(sizes[label] for label in gone)
    cout = groups * prod(sizes[label] for label in new)
    ones: Shape = ()
    mix = Mix(ones, ones, ones, groups, cin, cout, channelwise=own)
    r.unit("mix", node, live, axes, mix, point=x in r.points)


def _product_axes(r: _Reducer, node: Node) -> Axes:
    """Where the channels of the factors are in their product."""
    left, output = node.attrs["equation"].split("->")
    labels = {
        term[axis]
        for term, value in zip(left.split(","), node.operands, strict=True)
        for axis in r.channels(value)
    }
    return tuple(axis for axis, label in enumerate(output) if label in labels)


def _reduce(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    """Over all positions it squeezes a map to one."""
    x, gone = live[0], node.attrs["axes"]
    shape, channels = r.type(x).shape, r.channels(x)
    if set(gone) == set(channels) and node.attrs.get("keepdims"):
        r.stats.add(node.outputs[0])  # a mean or a norm over channels, for x - mean and the like
        r.trim(node, live)
        return
    rest = {axis for axis, n in enumerate(shape) if axis and n > 1} - set(channels) - set(gone)
    if set(gone) & {0, *channels} or node.attrs["fn"] not in ("mean", "max", "sum"):
        r.unit("other", node, live)
        return
    axes = channels if node.attrs.get("keepdims") else without(channels, gone)
    r.unit("pool" if rest else "squeeze", node, live, axes, point=not rest)


def _pool(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    axes = of_layout(node, r.type(live[0]).rank)
    out = r.type(node.outputs[0]).shape
    whole = all(n == 1 for axis, n in enumerate(out) if axis and axis not in axes)
    r.unit("squeeze" if whole else "pool", node, live, axes, point=whole)


def _resize(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    r.unit("resize", node, live, of_layout(node, r.type(live[0]).rank))


def _broadcast(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    """A map of one position spread out, or channels repeated, is still the same map."""
    x = live[0]
    old, new = r.type(x).shape, r.type(node.outputs[0]).shape
    channels = r.channels(x)
    same = len(old) == len(new) and all(
        a == b for axis, (a, b) in enumerate(zip(old, new, strict=True)) if axis not in channels
    )
    if same or (x in r.points and len(old) == len(new)):
        r.trim(node, live, channels)
    else:
        r.unit("resize", node, live)


def _reshape(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    """A view of the same channels trims; merging two axes of channels in turn shuffles them."""
    x = live[0]
    old, new, channels = r.type(x).shape, r.type(node.outputs[0]).shape, r.channels(x)
    axes = reshaped(old, new, channels)
    vector = len(old) == 2 < len(new)
    if axes is None:
        r.unit("flatten", node, live, (len(new) - 1,))
    elif vector and (x not in r.points or len(axes) > 1):  # a map made of a vector
        r.unit("other", node, live)
    elif list(channels) != sorted(channels) and len(axes) < len(channels):
        r.unit("shuffle", node, live, axes)
    else:
        r.trim(node, live, axes)


def _transpose(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    r.trim(node, live, transposed(r.channels(live[0]), node.attrs["perm"]))


def _pad(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    padded = {axis for axis, pair in enumerate(node.attrs["padding"]) if pair != (0, 0)}
    if padded & {0, *r.channels(live[0])}:
        r.unit("slice", node, live, r.channels(live[0]))
    else:
        r.trim(node, live)


def _slice(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    x, shape = live[0], r.type(node.outputs[0]).shape
    if shape == r.type(x).shape:
        r.trim(node, live[:1])
        return
    axes = r.channels(x) if len(shape) == r.type(x).rank else None
    r.unit("slice", node, live, axes)


def _gather(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    r.unit("slice" if live[0] == node.operands[0] else "other", node, live)


def _concat(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    axis, channels = node.attrs["axis"], r.channels(live[0])
    if axis in channels:
        point = all(value in r.points for value in live)
        r.unit("concat" if len(live) > 1 else "other", node, live, channels, point=point)
    elif len(live) == 1:  # a class token, a memory
        r.trim(node, live, channels)
    else:
        r.unit("other", node, live, channels)


def _step(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    r.trim(node, live, without(r.channels(live[0]), (node.attrs["axis"],)))


def _stack(r: _Reducer, node: Node, live: Sequence[str]) -> None:
    at = node.attrs["axis"]
    r.trim(node, live, tuple(axis + (axis >= at) for axis in r.channels(live[0])))


_READ: Mapping[str, _Read] = {
    "conv": _conv,
    "conv_transpose": _conv,
    "einsum": _einsum,
    "unary": _trim,
    "identity": _trim,
    "cast": _trim,
    "batch_norm": _trim,
    "norm": _trim,
    "softmax": _trim,
    "last": _trim,
    "rearrange": _trim,
    "binary": _elementwise,
    "select": _elementwise,
    "reduce": _reduce,
    "pool": _pool,
    "adaptive_pool": _pool,
    "resize": _resize,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "pad": _pad,
    "slice": _slice,
    "gather": _gather,
    "concat": _concat,
    "step": _step,
    "stack": _stack,
    "opaque": _opaque,
}
"""What becomes of each op; any other makes a unit of kind ``other``."""
