"""Writing a counterfactual: the nodes of a plain form, to be spliced in for those of a block.

The policy for all that is not a contraction: what follows the contraction that is replaced stays
as it is (bias, norm, activation); a convolution that comes on top carries what follows the one
that it is modelled on, at its own width; what stood between contractions that go goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from costlens.ir.edit import Patch
from costlens.ir.graph import Node, Origin, Weight
from costlens.ir.ops import OPS, spatial_axes, windows
from costlens.ir.types import Shape, TensorType
from costlens.motifs.axes import Axes
from costlens.motifs.skeleton import Skeleton, Unit


class NoFit(Exception):
    """A plain form that these sizes do not allow, and why."""


class Draft:
    """Collects the nodes and weights of one patch; values are ids, old or new."""

    def __init__(self, k: Skeleton) -> None:
        self.k = k
        self._add: list[tuple[str, Node]] = []
        self._values: dict[str, TensorType] = {}
        self._weights: dict[str, Weight] = {}
        self._replace: dict[str, str] = {}
        self._axes: dict[str, Axes] = {}

    def patch(self) -> Patch:
        """What has been written so far."""
        return Patch(tuple(self._add), self._values, self._weights, self._replace)

    def replace(self, old: str, new: str) -> None:
        """Let a new value be read in an old one's place."""
        self._replace[old] = new

    def type(self, value: str) -> TensorType:
        """The type of a value, old or new."""
        return self._values.get(value) or self.k.graph.values[value]

    def axes(self, value: str) -> Axes:
        """Its channel axes."""
        return self._axes.get(value) or self.k.axes[value]

    def conv(
        self,
        x: str,
        at: Unit,
        cout: int,
        like: Unit | None = None,
        kernel: Shape | int | None = None,
        groups: int = 1,
        strides: Shape | None = None,
        on: str = "",
        layer: str = "",
    ) -> str:
        """A convolution of ``x`` that stands where the contraction ``at`` stands.

        It has the output positions of ``at`` (or of the value ``on``), the taps and dilation of
        ``like`` (or ``kernel``, one size for all axes), the strides of ``at`` (or ``strides``; ()
        is none), and the least padding that fits. ``layer`` names a layer of its own; without it
        the convolution belongs to the layer of ``at``. Raises NoFit where none fits, as on
        vectors.
        """
        x = self._flat(x, at)
        axes = spatial_axes(self.type(x).rank, last := self.axes(x)[0] != 1)
        out = self._sizes(on or at.value)
        if not axes or len(out) != len(axes):
            raise NoFit("no positions to slide over")
        model = like.mix if like else None
        taps = self._taps(model.kernel if model and kernel is None else kernel, len(axes))
        dilation = (model.dilation if model and kernel is None else ()) or (1,) * len(axes)
        strides = (strides_of(at) if strides is None else strides) or (1,) * len(axes)
        if not len(strides) == len(dilation) == len(taps) == len(axes):
            raise NoFit("its windows are those of another map")
        padding = tuple(
            _pads(self.type(x).shape[axis], *rest)
            for axis, *rest in zip(axes, out, taps, strides, dilation, strict=True)
        )
        attrs: dict[str, Any] = {
            "strides": strides,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "channels_last": last,
        }
        dtype = self.type(at.value).dtype
        if dtype != self.type(x).dtype:
            attrs["dtype"] = dtype
        cin = self.type(x).shape[self.axes(x)[0]]
        weight = self._kernel(at, (*taps, cin // groups, cout), layer)
        node = like.node if like and layer else None
        made = self._emit("conv", (x, weight), attrs, at, layer, self.axes(x), node)
        if self._spatial(made, axes) != out:
            raise NoFit(f"{self.type(made)} where {out} is wanted")
        return made

    def again(self, x: str, at: Unit, cout: int, layer: str = "", groups: int = 1) -> str:
        """The contraction ``at`` once more, on ``x``, with other channels."""
        if at.mix and not at.mix.kernel:
            return self.dense(x, at, cout, layer, at)
        return self.conv(x, at, cout, at, groups=groups, layer=layer)

    def swap(self, at: Unit, new: str) -> None:
        """Let a new value stand for a contraction's output, viewed in its shape."""
        wanted = self.type(at.value)
        if self.type(new).shape != wanted.shape:
            new = self._emit("reshape", (new,), {"shape": wanted.shape}, at, "", None)
        self.replace(at.value, new)

    def dense(self, x: str, at: Unit, cout: int, layer: str, like: Unit) -> str:
        """A dense layer over the last axis of ``x``, at the place of ``at``; its weights are
        stored as those of ``like``."""
        letters = "abcdefg"[: self.type(x).rank - 1]
        weight = self._kernel(like, (self.type(x).shape[-1], cout), layer)
        attrs = {"equation": f"{letters}Y,YZ->{letters}Z", "dtype": self.type(at.value).dtype}
        return self._emit("einsum", (x, weight), attrs, at, layer, (len(letters),))

    def bias(self, x: str, at: Unit, layer: str, like: Unit) -> str:
        """A bias over the last axis of ``x``."""
        width = self.type(x).shape[-1]
        weight = self._kernel(like, (width,), layer)
        attrs = {"fn": "add", "dtype": self.type(x).dtype}
        return self._emit("binary", (x, weight), attrs, at, layer, self.axes(x))

    def flatten(self, x: str, at: Unit, layer: str = "") -> str:
        """All that an example holds, in one axis."""
        type_ = self.type(x)
        shape = (type_.shape[0], type_.size // max(1, type_.shape[0]))
        return self._emit("reshape", (x,), {"shape": shape}, at, layer, (1,))

    def keep(self, nodes: Sequence[Node], start: str, x: str, at: Unit) -> str:
        """What trims a link, once more behind another value: from ``start``, now on ``x``.

        Weights get the width of ``x``. Raises NoFit where a node cannot be had at that width.
        """
        old, new = self._width(start), self._width(x)
        now = {start: x}
        for node in nodes:
            axes = self.k.axes[node.outputs[0]]
            operands = tuple(now.get(v) or self._side(v, node, old, new, at) for v in node.operands)
            attrs = dict(node.attrs)
            if "shape" in attrs:
                attrs["shape"] = _resized(attrs["shape"], axes, old, new)
            layer = own_layer(node)
            made = self._emit(node.op, operands, attrs, at, layer, axes, node)
            now[node.outputs[0]] = made
        return now[nodes[-1].outputs[0]] if nodes else x

    def _width(self, value: str) -> int:
        width = 1
        for axis in self.axes(value):
            width *= self.type(value).shape[axis]
        return width

    def _sizes(self, value: str) -> Shape:
        shape, axes = self.type(value).shape, self.axes(value)
        return tuple(n for axis, n in enumerate(shape) if axis and axis not in axes)

    def _spatial(self, value: str, axes: Sequence[int]) -> Shape:
        return tuple(self.type(value).shape[axis] for axis in axes)

    def _taps(self, kernel: Shape | int | None, rank: int) -> Shape:
        if isinstance(kernel, int):
            return (kernel,) * rank
        return kernel or (1,) * rank

    def _flat(self, x: str, at: Unit) -> str:
        """``x`` with its channels in one axis."""
        axes, shape = self.axes(x), self.type(x).shape
        if len(axes) == 1 and axes[0] in (1, len(shape) - 1):
            return x
        if axes != tuple(range(len(shape) - len(axes), len(shape))):
            raise NoFit("its channels are not the last axes")
        rest = shape[: len(shape) - len(axes)]
        merged = {"shape": (*rest, self._width(x))}
        return self._emit("reshape", (x,), merged, at, "", (len(rest),))

    def _side(self, value: str, node: Node, old: int, new: int, at: Unit) -> str:
        """A weight, or what is made of weights, at another width."""
        if value not in self.k.side:
            return value
        axis = self._aligned(value, node)
        weight = self.k.graph.weights.get(value)
        if weight is not None:
            shape = _resized(weight.type.shape, axis, old, new)
            return self._weight(f"{value}{MARK}{shape}", shape, weight, own_layer(node))
        made = self.k.graph.producer.get(value)
        if made is None or not self.type(value).rank or made.op not in ("reshape", "cast"):
            return value
        operands = tuple(self._side(v, made, old, new, at) for v in made.operands)
        attrs = dict(made.attrs)
        if "shape" in attrs:
            attrs["shape"] = _resized(attrs["shape"], axis, old, new)
        layer = own_layer(node)
        return self._emit(made.op, operands, attrs, at, layer, None, made)

    def _aligned(self, value: str, node: Node) -> Axes:
        """The axes of an operand that meet the channel axes of its node's output."""
        out, rank = self.k.graph.values[node.outputs[0]], self.type(value).rank
        if rank == 1:
            return (0,)
        axes = self.k.axes.get(node.outputs[0], ())
        return tuple(axis - (out.rank - rank) for axis in axes)

    def _kernel(self, at: Unit, shape: Shape, layer: str) -> str:
        """The weight of a new contraction; one for all calls of the layer that it stands for."""
        root = next(v for v in at.node.operands if v in self.k.side)
        weight = self._root(root)
        ident = f"{root}{MARK}{layer}{'×'.join(map(str, shape))}"
        return self._weight(ident, shape, weight, layer or at.node.origin.layer)

    def _root(self, value: str) -> Weight | None:
        graph = self.k.graph
        while value not in graph.weights:
            made = graph.producer.get(value)
            if made is None or not made.operands:
                return None
            value = made.operands[0]
        return graph.weights[value]

    def _weight(self, ident: str, shape: Shape, model: Weight | None, owner: str) -> str:
        dtype = model.type.dtype if model else "float32"
        type_ = TensorType(shape, dtype)
        trainable = model.trainable if model else True
        self._weights[ident] = Weight(ident, ident, type_, trainable, owner)
        self._values[ident] = type_
        return ident

    def _emit(
        self,
        op: str,
        operands: tuple[str, ...],
        attrs: Mapping[str, Any],
        at: Unit,
        layer: str,
        axes: Axes | None,
        like: Node | None = None,
    ) -> str:
        node = like or at.node
        try:
            (type_,) = OPS[op].infer(tuple(self.type(v) for v in operands), attrs)
        except ValueError as error:
            raise NoFit(str(error)) from error
        taken = sum(added.name.startswith(f"{node.name}{MARK}{op}") for _, added in self._add)
        name = f"{node.name}{MARK}{op}{taken or ''}"
        origin = Origin(node.origin.kind, layer, node.origin.call) if layer else node.origin
        self._values[name] = type_
        if axes:
            self._axes[name] = axes
        self._add.append(
            (
                at.node.name,
                Node(name, op, operands, (name,), attrs, node.scope, at.node.repeat, origin),
            )
        )
        return name


MARK = "~"
"""Sets what a plain form adds apart from what the model has."""


def kernel_name(k: Skeleton, unit: Unit, kernel: Shape | int) -> str:
    """What a convolution of this kernel (one size: for all axes) is called on a unit's map."""
    value = k.graph.values[unit.links[0].value]
    rank = value.rank - 1 - len(k.axes[unit.links[0].value])
    taps = (kernel,) * rank if isinstance(kernel, int) else kernel
    return f"{taps[0]}-tap convolution" if rank == 1 else "×".join(map(str, taps))


def own(unit: Unit) -> str:
    """The name of a layer that a plain form has beside one of the model's."""
    return own_layer(unit.node)


def own_layer(node: Node) -> str:
    """The same for the layer of a node."""
    return f"{node.origin.layer}{MARK}"


def strides_of(*units: Unit) -> Shape:
    """The strides of several contractions in a row, as one's; () where none slides."""
    found = [unit.mix.strides for unit in units if unit.mix and unit.mix.strides]
    return tuple(prod(each) for each in zip(*found, strict=True))


def _resized(shape: Shape, axes: Axes, old: int, new: int) -> Shape:
    """A shape whose channel axis has another width."""
    if len(axes) == 1 and 0 <= axes[0] < len(shape) and shape[axes[0]] == old:
        return (*shape[: axes[0]], new, *shape[axes[0] + 1 :])
    return shape


def _pads(size: int, out: int, taps: int, stride: int, dilation: int) -> tuple[int, int]:
    """The least padding, evenly split, that gives ``out`` positions."""
    total = max(0, (out - 1) * stride + (taps - 1) * dilation + 1 - size)
    if windows(size, taps, stride, dilation, (0, total)) != out:
        raise NoFit(f"no padding takes {size} to {out} positions")
    return total // 2, total - total // 2
