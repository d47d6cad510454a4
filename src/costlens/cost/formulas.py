"""Every figure of an op call as a formula: in words, and with the call's numbers substituted.

The rules in rules.py compute; this module says the same a second time, for a reader. Tests
evaluate each formula and compare it with the rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd

from costlens import units
from costlens.cost.cost import Call, Cost
from costlens.cost.functions import BINARY, UNARY
from costlens.cost.registry import RULES, UNCOUNTED, VIEWS, free, price
from costlens.ir.graph import Graph, Node
from costlens.ir.ops import channel_axis, spatial_axes
from costlens.ir.types import ITEMSIZE, Shape, TensorType


@dataclass(frozen=True, slots=True)
class Term:
    """How one figure comes about: ``numbers`` is ``words`` with the numbers substituted.

    ``figure`` is a field of the cost. ``numbers`` is arithmetic over integers, written with
    × · + − ÷ and parentheses.
    """

    figure: str
    words: str
    numbers: str


Factor = tuple[str, str]
"""A factor in words, and its numbers."""

OPERATIONS: Mapping[str, str] = {
    "adds": "additions",
    "muls": "multiplications",
    "divs": "divisions",
    "comparisons": "comparisons",
    "transcendentals": "transcendentals",
}
"""The fields of a cost that are one FLOP each, in words."""


def where(op: str) -> str:
    """Where the rule of an op stands, as file and line of the package; empty where it has none."""
    if op in UNCOUNTED:
        return ""
    rule = RULES.get(op) or (price if op in VIEWS else free)
    return f"{rule.__module__.replace('.', '/')}.py:{inspect.getsourcelines(rule)[1]}"


def formula(op: str, call: Call) -> tuple[Term, ...]:
    """A term for each figure that the rule of an op finds in a call; none where it is 0."""
    if op not in RULES:
        return ()
    cost = RULES[op](call)
    return tuple(term for term in FORMULAS[op](call) if getattr(cost, term.figure))


def traffic(graph: Graph, node: Node) -> tuple[Term, ...]:
    """The bytes that a node reads and writes, once: none for views, epilogues and inputs."""
    if node.op == "input" or node.op in VIEWS or node.name in graph.epilogues:
        return ()
    outputs = [graph.values[value] for value in node.outputs]
    operands = [graph.values[value] for value in dict.fromkeys(node.operands)]
    # a stack reads the value of every step, which together are what it writes
    read = outputs if node.op == "stack" else operands
    pairs = ("bytes_read", read), ("bytes_written", outputs)
    return tuple(
        size_in_bytes(name, types) for name, types in pairs if any(t.nbytes for t in types)
    )


def terms(graph: Graph, node: Node) -> tuple[Term, ...]:
    """A term for each figure of a node that is not 0, over all of its repeats."""
    if node.repeat == 0:
        return ()
    values = graph.values
    operands = tuple(values[value] for value in node.operands)
    call = Call(operands, tuple(values[value] for value in node.outputs), node.attrs)
    once = formula(node.op, call) + traffic(graph, node)
    return tuple(_repeated(term, node.repeat) for term in once)


def size_in_bytes(figure: str, types: Sequence[TensorType]) -> Term:
    """Bytes of tensors: elements × bytes of one element, summed."""
    each = [f"{dots(t.shape)} × {ITEMSIZE[t.dtype]}" for t in types]
    of = f", of {len(types):,} tensors" if len(types) > 1 else ""
    return Term(figure, f"elements × bytes of one{of}", " + ".join(each))


def dots(sizes: Iterable[int]) -> str:
    """Sizes as a product; none is a scalar, which is one element."""
    return "·".join(map(units.exact, sizes)) or "1"


def _repeated(term: Term, times: int) -> Term:
    """The same for every step of a loop."""
    if times == 1:
        return term
    inner = f"({term.numbers})" if _is_sum(term.numbers) else term.numbers
    words = f"({term.words})" if _is_sum(term.numbers) else term.words
    return Term(term.figure, f"{words} × steps", f"{inner} × {units.exact(times)}")


def _is_sum(numbers: str) -> bool:
    """Whether an expression adds or subtracts outside all parentheses."""
    depth = 0
    for char in numbers:
        depth += (char == "(") - (char == ")")
        if depth == 0 and char in "+−":
            return True
    return False


def _product(figure: str, *factors: Factor) -> Term:
    words, numbers = zip(*factors, strict=True)
    return Term(figure, " × ".join(words), " × ".join(numbers))


def _minus(figure: str, term: Term, less: Factor) -> Term:
    return Term(figure, f"{term.words} − {less[0]}", f"{term.numbers} − {less[1]}")


def _conv(call: Call) -> Iterator[Term]:
    x, kernel = call.operands
    groups, last = call.attrs["groups"], call.attrs["channels_last"]
    c_in = units.exact(x.shape[channel_axis(x.rank, last)])
    fan_in = ("Cin", c_in) if groups == 1 else ("Cin/groups", f"({c_in} ÷ {units.exact(groups)})")
    channels = fan_in, ("Cout", units.exact(kernel.shape[-1]))
    shifts = [before for before, _ in call.attrs["padding"]]
    yield from _slid(call, ("output positions", call.out), x, shifts, "on padding", channels)


def _conv_transpose(call: Call) -> Iterator[Term]:
    x, kernel = call.operands
    c_out, c_in = map(units.exact, kernel.shape[-2:])
    shifts = [before for before, _ in call.attrs["crop"]]
    grouped = call.attrs.get("groups", 1) != 1
    channels = ("Cin", c_in), ("Cout/groups" if grouped else "Cout", c_out)
    yield from _slid(call, ("input positions", x), call.out, shifts, "cropped", channels)


def _slid(
    call: Call,
    over: tuple[str, TensorType],
    onto: TensorType,
    shifts: Sequence[int],
    lost: str,
    channels: tuple[Factor, ...],
) -> Iterator[Term]:
    """A kernel at every position of one tensor, each of its taps on an element of another."""
    attrs, (name, slid) = call.attrs, over
    axes = spatial_axes(slid.rank, attrs["channels_last"])
    positions = [slid.shape[axis] for axis in axes]
    taps = call.operands[1].shape[: len(axes)]
    rest = (*channels, ("batch", units.exact(slid.shape[0])))
    yield _product("macs", (name, dots(positions)), ("kernel taps", dots(taps)), *rest)
    misses = [
        _missed(position, onto.shape[axis], tap, stride, gap, shift)
        for position, axis, tap, stride, gap, shift in zip(
            positions, axes, taps, attrs["strides"], attrs["dilation"], shifts, strict=True
        )
    ]
    landed = [
        f"({dots((position, tap))} − {units.exact(miss)})" if miss else f"({dots((position, tap))})"
        for position, tap, miss in zip(positions, taps, misses, strict=True)
    ]
    words = f"(positions·taps − those {lost})" if any(misses) else "positions·taps"
    yield _product("macs_valid", (f"{words} of each axis", "·".join(landed)), *rest)


def _missed(positions: int, limit: int, taps: int, stride: int, gap: int, shift: int) -> int:
    """How many taps along an axis, over all positions, land outside of ``limit`` elements."""
    reach = (taps - 1) * gap
    starts = range(-shift, positions * stride - shift, stride)
    beyond = (start for start in starts if start < 0 or start + reach >= limit)
    return sum(not 0 <= start + tap * gap < limit for start in beyond for tap in range(taps))


def _einsum(call: Call) -> Iterator[Term]:
    operands, out = call.attrs["equation"].split("->")
    pairs = [
        pair
        for labels, tensor in zip(operands.split(","), call.operands, strict=True)
        for pair in zip(labels, tensor.shape, strict=True)
    ]
    # a label of size 1 broadcasts against the same label of another size
    sizes = {label: 1 for label, _ in pairs} | {label: size for label, size in pairs if size != 1}
    summed = [label for label in sizes if label not in out]
    factors = [_labelled("elements of the result", out, sizes)]
    if summed:
        factors.append(_labelled("products in each", summed, sizes))
    for figure in ("macs", "macs_valid"):
        yield _product(figure, *factors)


def _labelled(words: str, labels: Iterable[str], sizes: Mapping[str, int]) -> Factor:
    of = f" {'·'.join(labels)}" if labels else ""
    return f"{words}{of}", dots(sizes[label] for label in labels)


def _elementwise(call: Call, each: Cost) -> Iterator[Term]:
    """What one element costs, from the table of functions, for each element."""
    elements = "elements", dots(call.out.shape)
    for figure, name in OPERATIONS.items():
        count = units.exact(getattr(each, figure))
        yield _product(figure, (f"{name} in one {call.attrs['fn']}", count), elements)


def _unary(call: Call) -> Iterator[Term]:
    yield from _elementwise(call, UNARY[call.attrs["fn"]])


def _binary(call: Call) -> Iterator[Term]:
    yield from _elementwise(call, BINARY[call.attrs["fn"]])


def _batch_norm(call: Call) -> Iterator[Term]:
    elements = "elements", dots(call.out.shape)
    yield _product("muls", ("1 scale", "1"), elements)
    yield _product("adds", ("1 shift", "1"), elements)


@dataclass(frozen=True, slots=True)
class _Lanes:
    """As many lanes as a product of sizes, of m elements each."""

    name: str
    sizes: Shape
    m: int

    def term(self, figure: str, *parts: tuple[str, str]) -> Term:
        """A figure of each lane, added up from "m", "(m − 1)" or "1", each for something."""
        words = [f"{of} for {what}" if what else of for of, what in parts]
        numbers = [of.replace("m", units.exact(self.m)) for of, _ in parts]
        each = "({})" if len(parts) > 1 else "{}"
        name = f"{self.name} of m elements" if any("m" in of for of, _ in parts) else self.name
        return Term(
            figure,
            f"{name} × {each.format(' + '.join(words))}",
            f"{dots(self.sizes)} × {each.format(' + '.join(numbers))}",
        )


def _lanes(x: TensorType, axes: Iterable[int], name: str = "lanes", groups: int = 1) -> _Lanes:
    """The lanes along some axes of a tensor; in groups, each is split into as many lanes."""
    m, sizes = 1, []
    for axis, size in enumerate(x.shape):
        if axis in tuple(axes):
            m *= size
        else:
            sizes.append(size)
    return _Lanes(name, (*sizes, groups) if groups > 1 else tuple(sizes), m // groups)


_SQUARES = "m", "the squares"
_MEAN = ("(m − 1)", "the mean"), ("m", "the differences from it")
_MEANS = ("1", "the mean"), ("1", "the mean square")
_LARGEST = "(m − 1)", "the largest"


def _norm(call: Call) -> Iterator[Term]:
    fn, attrs = call.attrs["fn"], call.attrs
    lanes = _lanes(call.x, attrs["axes"], "groups", attrs.get("groups", 1))
    centred = fn in ("layer", "group")
    scale = [("m", "the scale")] * bool(attrs.get("scale"))
    offset = [("m", "the offset")] * bool(attrs.get("center"))
    epsilon = [("1", "ε")] * (fn != "unit")
    yield lanes.term("adds", *_MEAN * centred, ("(m − 1)", "the sum of squares"), *epsilon, *offset)
    yield lanes.term("muls", _SQUARES, ("m", "their division by the root"), *scale)
    yield lanes.term("divs", *(_MEANS if centred else _MEANS[1:]))
    yield lanes.term("transcendentals", ("1", "1/√"))
    yield lanes.term("comparisons", ("1", "keeping the root from 0"))


def _softmax(call: Call) -> Iterator[Term]:
    axis = call.attrs["axis"]
    lanes = _lanes(call.x, axis if isinstance(axis, tuple) else (axis,))
    logarithm = call.attrs.get("fn") == "log_softmax"
    adds = ("m", "the differences from it"), ("(m − 1)", "the sum of exp")
    yield lanes.term("comparisons", _LARGEST)
    yield lanes.term("adds", *adds, *[("m", "subtracting the log")] * logarithm)
    yield lanes.term("transcendentals", ("m", "exp"), *[("1", "the log of the sum")] * logarithm)
    yield lanes.term("divs", ("m", "the division by the sum"))


_REDUCE = {
    "sum": "adds", "mean": "adds", "prod": "muls", "max": "comparisons", "min": "comparisons",
    "all": "comparisons", "any": "comparisons", "argmax": "comparisons", "argmin": "comparisons",
    "cumsum": "adds", "cumprod": "muls", "cummax": "comparisons",
}  # fmt: skip


def _reduce(call: Call) -> Iterator[Term]:
    lanes, fn = _lanes(call.x, call.attrs["axes"]), call.attrs["fn"]
    if fn in ("var", "std"):
        yield lanes.term("adds", *_MEAN, ("(m − 1)", "the sum of squares"))
        yield lanes.term("muls", _SQUARES)
        yield lanes.term("divs", *_MEANS)
        yield lanes.term("transcendentals", ("1", "√"))
    elif fn == "logsumexp":
        adds = ("m", "the differences from it"), ("(m − 1)", "the sum of exp")
        yield lanes.term("comparisons", _LARGEST)
        yield lanes.term("adds", *adds, ("1", "adding it again"))
        yield lanes.term("transcendentals", ("m", "exp"), ("1", "the log of the sum"))
    elif fn == "count_nonzero":
        yield lanes.term("adds", ("(m − 1)", "the sum"))
        yield lanes.term("comparisons", ("m", "each with 0"))
    else:
        yield lanes.term(_REDUCE[fn], ("(m − 1)", ""))
        yield lanes.term("divs", ("1", "the division by m"))


def _cumulative(call: Call) -> Iterator[Term]:
    lanes = _lanes(call.x, (call.attrs["axis"],))
    yield lanes.term(_REDUCE[call.attrs["fn"]], ("(m − 1)", ""))


def _pool(call: Call) -> Iterator[Term]:
    window = f"({dots(call.attrs['window'])} − 1)"
    for figure in ("comparisons", "adds"):
        yield _product(figure, ("output elements", dots(call.out.shape)), ("(window − 1)", window))


def _adaptive_pool(call: Call) -> Iterator[Term]:
    sizes = _axes(call)
    under = "elements under the windows of each axis", "·".join(_overlaps(n, m) for n, m in sizes)
    for figure in ("comparisons", "adds"):
        term = _product(figure, under, *_images(call))
        yield _minus(figure, term, ("output elements", dots(call.out.shape)))


_REACH = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}
"""How far an interpolation kernel reaches to either side, in input elements."""


def _resize(call: Call) -> Iterator[Term]:
    sizes, method = _axes(call), call.attrs["method"]
    if method == "nearest":
        return
    if method == "area":
        words = "elements under the outputs of each axis"
        numbers = [_overlaps(n, m) for n, m in sizes]
    else:
        reach, antialias = 2 * _REACH[method], bool(call.attrs.get("antialias"))
        words = "outputs·taps of each axis"
        numbers = [f"({dots((m, _taps(n, m, reach, antialias)))})" for n, m in sizes]
    taken = _product("muls", (words, "·".join(numbers)), *_images(call))
    yield taken
    yield _minus("adds", taken, ("output elements", dots(call.out.shape)))


def _taps(n: int, m: int, reach: int, antialias: bool) -> int:
    """Taps of each output along an axis: a kernel that shrinks widens, none is wider than n."""
    widened = (reach * n + m - 1) // m if antialias and 0 < m < n else reach
    return min(widened, n)


def _axes(call: Call) -> list[tuple[int, int]]:
    """Input and output size of each spatial axis."""
    axes = spatial_axes(call.x.rank, call.attrs["channels_last"])
    return [(call.x.shape[axis], call.out.shape[axis]) for axis in axes]


def _images(call: Call) -> tuple[Factor, ...]:
    channels = call.x.shape[channel_axis(call.x.rank, call.attrs["channels_last"])]
    return ("channels", units.exact(channels)), ("batch", units.exact(call.x.shape[0]))


def _overlaps(n: int, m: int) -> str:
    """Elements that m equal parts of a line of n touch: n, and one more for each one cut in two.

    Of the m − 1 cuts between the parts, gcd(n, m) − 1 fall between two elements.
    """
    cut = m - gcd(n, m)
    return f"({units.exact(n)} + {units.exact(cut)})" if cut else units.exact(n)


def _scatter(call: Call) -> Iterator[Term]:
    updates, places = dots(call.operands[-1].shape), call.attrs.get("places", 1)
    rest = (("places of each", units.exact(places)),) if places != 1 else ()
    for figure in ("adds", "muls", "comparisons"):
        yield _product(figure, ("update elements", updates), *rest)


FORMULAS: Mapping[str, Callable[[Call], Iterator[Term]]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "einsum": _einsum,
    "unary": _unary,
    "binary": _binary,
    "batch_norm": _batch_norm,
    "norm": _norm,
    "softmax": _softmax,
    "reduce": _reduce,
    "cumulative": _cumulative,
    "pool": _pool,
    "adaptive_pool": _adaptive_pool,
    "resize": _resize,
    "scatter": _scatter,
}
"""The figures of each op that has a rule; one that is 0 may be among them."""
