"""The builder that every lowering writes to: nodes, weights, scopes, loops, dtypes.

It is the only mutable thing in reading a model, lives for one reading, and imports no
framework. A lowering is a function ``(Builder, LayerCall) -> Tree of Tensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from costlens.errors import InputError, LoweringError
from costlens.frontends.layercall import (
    Constant,
    Layer,
    LayerCall,
    Program,
    Stored,
    Tensor,
    Tree,
)
from costlens.ir.graph import Graph, Node, Origin, Weight
from costlens.ir.ops import OPS
from costlens.ir.types import Shape, TensorType, is_float, promote

Lowering = Callable[["Builder", LayerCall], Tree]
Scalar = int | float | complex | bool

_MAX_NODES = 300_000


class Unreadable(Exception):
    """Raised by a lowering that cannot describe its call; the row becomes an unknown."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A layer's dtype policy: what it computes in, what it stores, how it is quantised.

    ``block_size`` is the rows per group (None: one group), ``bits`` what gptq packs to, and
    ``history`` the length of a float8 amax history.
    """

    compute: str = "float32"
    variable: str = "float32"
    quantization: str | None = None
    block_size: int | None = None
    bits: int = 4
    history: int = 1024


@dataclass(slots=True)
class _Row:
    """The layer call being lowered: what is left of its stored weights, and its policy."""

    origin: Origin
    layer: Layer
    left: list[Stored] | None
    prefix: tuple[str, ...] = ()
    taken: dict[str, Stored] = field(default_factory=dict)


@dataclass(slots=True)
class _Container:
    """A traced model that is open; operations that it makes itself are one row, of this origin."""

    layer: Layer
    scope: tuple[str, ...]
    origin: Origin | None = None


class Builder:
    """Collects the nodes of one graph. Methods return the Tensor that they make."""

    def __init__(self, name: str, dims: Mapping[str, int] | None = None) -> None:
        self.name = name
        self.dims = dict(dims or {})
        self.unused_dims = set(self.dims)
        self.policy = Policy()
        self.trainable = True
        self.dispatch: Callable[[Layer, Sequence[Tree], Mapping[str, Tree]], Tree] | None = None
        self.opens = False  # whether what is unreadable is traced
        self.run: Callable[[Program, Sequence[Tree]], Tree] | None = None
        self.row: _Row | None = None
        self.scope: tuple[str, ...] = ()
        self.repeat = 1
        self.containers: list[_Container] = []
        self.met: dict[Hashable, _Container | Origin] = {}
        self.nodes: list[Node] = []
        self.values: dict[str, TensorType] = {}
        self.weights: dict[str, Weight] = {}
        self.constants: dict[str, TensorType] = {}
        self.notes: dict[str, None] = {}
        self.returns: dict[Origin, tuple[str, ...]] = {}
        self.unmasked: set[str] = set()
        self._weight_ids: dict[Hashable, str] = {}
        self._constant_ids: dict[Hashable, str] = {}
        self._names: dict[str, int] = {}
        self._calls: dict[str, int] = {}

    # -- nodes ---------------------------------------------------------------------------

    def emit(self, op: str, operands: Sequence[Tensor], /, label: str = "", **attrs: Any) -> Tensor:
        """Append a node and return its first output. ``label`` names it within its layer."""
        return self.emit_all(op, operands, label=label, **attrs)[0]

    def emit_all(
        self, op: str, operands: Sequence[Tensor], /, label: str = "", **attrs: Any
    ) -> tuple[Tensor, ...]:
        """Append a node and return all its outputs; raises ValueError where types disagree."""
        origin = self.origin
        if len(self.nodes) >= _MAX_NODES:
            raise LoweringError(origin.layer, f"the graph has over {_MAX_NODES:,} ops")
        types = OPS[op].infer(tuple([x.type for x in operands]), attrs)
        name = self._unique("/".join((*self.scope, label or attrs.get("fn") or op)))
        ids = tuple([name if i == 0 else f"{name}:{i}" for i in range(len(types))])
        for value, type_ in zip(ids, types, strict=True):
            self.values[value] = type_
        self.nodes.append(
            Node(
                name,
                op,
                tuple([x.id for x in operands]),
                ids,
                attrs,
                self.scope,
                self.repeat,
                origin,
            )
        )
        return tuple([Tensor(value, type_) for value, type_ in zip(ids, types, strict=True)])

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if count == 0 else self._unique(f"{name}#{count + 1}")

    def dtype_of(self, *operands: Tensor | Scalar) -> str:
        """The dtype an operation on these computes in; float weights count as autocast."""
        return promote(
            [
                ("bool" if isinstance(x, bool) else "int" if isinstance(x, int) else "float")
                if not isinstance(x, Tensor)
                else self.policy.compute
                if x.id in self.weights and is_float(x.dtype)
                else x.dtype
                for x in operands
            ]
        )

    def unary(self, fn: str, x: Tensor, dtype: str | None = None) -> Tensor:
        """An elementwise function; ``dtype`` of the result where it is not the operand's."""
        return self.emit("unary", (x,), fn=fn, **_dtype(dtype, x.dtype))

    def binary(
        self, fn: str, a: Tensor | Scalar, b: Tensor | Scalar, dtype: str | None = None
    ) -> Tensor:
        """A broadcasting elementwise function of two tensors, or of a tensor and a scalar."""
        tensors = tuple([x for x in (a, b) if isinstance(x, Tensor)])
        wanted = dtype or self.dtype_of(a, b)
        inferred = promote([x.dtype for x in tensors])
        return self.emit("binary", tensors, fn=fn, **_dtype(wanted, inferred))

    def compare(self, fn: str, a: Tensor | Scalar, b: Tensor | Scalar) -> Tensor:
        """A comparison: ``binary`` with a bool result."""
        return self.binary(fn, a, b, "bool")

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """The same values in another dtype; nothing where it has that dtype already."""
        if x.dtype == dtype:
            return x
        return Tensor(self.emit("cast", (x,), dtype=dtype).id, TensorType(x.shape, dtype), x.mask)

    def identity(self, x: Tensor) -> Tensor:
        """A view of the same tensor, so that a layer that does nothing still has a row."""
        return self.emit("identity", (x,))

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """A view in another shape; one size may be -1."""
        sizes = list(shape)
        if -1 in sizes:
            known = TensorType(tuple(n for n in sizes if n != -1), "bool").size
            sizes[sizes.index(-1)] = x.type.size // known if known else 0
        return x if tuple(sizes) == x.shape else self.emit("reshape", (x,), shape=tuple(sizes))

    def transpose(self, x: Tensor, perm: Sequence[int]) -> Tensor:
        """Permuted axes; nothing where the permutation is the identity."""
        order = tuple(axis % x.rank for axis in perm)
        return x if order == tuple(range(x.rank)) else self.emit("transpose", (x,), perm=order)

    def concat(self, xs: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenation along an axis, which may be negative."""
        wanted = self.dtype_of(*xs)
        extra = _dtype(wanted, promote([x.dtype for x in xs]))
        return self.emit("concat", tuple(xs), axis=axis % xs[0].rank, **extra)

    def reduce(
        self,
        fn: str,
        x: Tensor,
        axes: int | Sequence[int] | None = None,
        keepdims: bool = False,
        dtype: str | None = None,
    ) -> Tensor:
        """A reduction; ``axes`` None means all of them."""
        if axes is None:
            axes = range(x.rank)
        picked = (axes,) if isinstance(axes, int) else tuple(axes)
        order = tuple(sorted({axis % x.rank for axis in picked})) if x.rank else ()
        extra = _dtype(dtype, x.dtype)
        return self.emit("reduce", (x,), fn=fn, axes=order, keepdims=keepdims, **extra)

    def einsum(
        self, equation: str, a: Tensor, b: Tensor, dtype: str | None = None, label: str = ""
    ) -> Tensor:
        """A contraction of two operands in explicit notation."""
        wanted = dtype or self.dtype_of(a, b)
        extra = _dtype(wanted, promote([a.dtype, b.dtype]))
        return self.emit("einsum", (a, b), label=label or "einsum", equation=equation, **extra)

    def slice(self, x: Tensor, shape: Sequence[int], index: str = "") -> Tensor:
        """A part of ``x`` of this shape; ``index`` says which, for the reader."""
        return self.emit("slice", (x,), shape=tuple(shape), index=index)

    def take(self, x: Tensor, axis: int, start: int, stop: int) -> Tensor:
        """The elements ``start:stop`` of one axis."""
        axis %= x.rank
        shape = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
        return self.slice(x, shape, f"axis {axis}: {start}:{stop}")

    def pad(self, x: Tensor, padding: Sequence[tuple[int, int]], mode: str = "constant") -> Tensor:
        """``x`` with (before, after) elements added per axis."""
        return self.emit("pad", (x,), padding=tuple(padding), mode=mode)

    def broadcast(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """Elements repeated to fill a shape."""
        return self.emit("broadcast", (x,), shape=tuple(shape))

    def rearrange(
        self, fn: str, xs: Tensor | Sequence[Tensor], shape: Sequence[int], dtype: str | None = None
    ) -> Tensor:
        """Other data movement, named by ``fn``."""
        operands = (xs,) if isinstance(xs, Tensor) else tuple(xs)
        extra = _dtype(dtype, operands[0].dtype)
        return self.emit("rearrange", operands, fn=fn, shape=tuple(shape), **extra)

    def gather(
        self, xs: Sequence[Tensor], shape: Sequence[int], dtype: str | None = None
    ) -> Tensor:
        """A lookup by index in the first operand."""
        wanted = dtype or self.dtype_of(xs[0])
        return self.emit("gather", tuple(xs), shape=tuple(shape), **_dtype(wanted, xs[0].dtype))

    def fill(self, shape: Sequence[int], dtype: str, fn: str = "fill") -> Tensor:
        """New values made from nothing: zeros, a range, an identity matrix."""
        return self.emit("fill", (), shape=tuple(shape), dtype=dtype, fn=fn)

    def softmax(self, x: Tensor, axis: int = -1, fn: str = "softmax") -> Tensor:
        """softmax or log_softmax over an axis."""
        return self.emit("softmax", (x,), label=fn, fn=fn, axis=axis % x.rank)

    def opaque(self, fn: str, xs: Sequence[Tensor], *types: TensorType) -> tuple[Tensor, ...]:
        """An op with known storage and unknown FLOPs: a sort, an FFT, a factorisation."""
        return self.emit_all("opaque", tuple(xs), fn=fn, types=types)

    def constant(self, constant: Constant) -> Tensor:
        """A captured array, or a variable; one of the model's weights stays that weight."""
        value = self._weight_ids.get(constant.key) or self._constant_ids.get(constant.key)
        if value is None:
            value = self._unique(f"constant{len(self.constants)}")
            self._constant_ids[constant.key] = value
            self.constants[value] = self.values[value] = constant.type
        return Tensor(value, self.values[value])

    def unknown(self, reason: str, xs: Sequence[Tensor], types: Sequence[TensorType]) -> Tree:
        """A call that cannot be read: its operands and output types, and why."""
        return self.emit_all("unknown", tuple(xs), reason=reason, types=tuple(types))

    def apply(self, layer: Layer, *args: Tree, **kwargs: Tree) -> Tree:
        """Call a layer that this one wraps: its nodes and weights, in a scope of its name."""
        assert self.dispatch is not None
        with self.scoped(layer.name):
            return self.dispatch(layer, args, kwargs)

    # -- scopes, loops, rows ---------------------------------------------------------------

    @contextmanager
    def scoped(self, *names: str) -> Iterator[None]:
        """Nodes and weights made inside carry these names in their scope."""
        scope, row = self.scope, self.row
        prefix = row.prefix if row else ()
        self.scope = (*scope, *names)
        if row:
            row.prefix = (*prefix, *names)
        try:
            yield
        finally:
            self.scope = scope
            if row:
                row.prefix = prefix

    @contextmanager
    def loop(self, times: int) -> Iterator[None]:
        """Nodes made inside run ``times`` times, with per-step types."""
        repeat = self.repeat
        self.repeat = repeat * times
        try:
            yield
        finally:
            self.repeat = repeat

    @contextmanager
    def configured(self, policy: Policy, trainable: bool) -> Iterator[None]:
        """Compute and store in this policy's dtypes inside; freeze what is made inside.

        ``trainable`` is the innermost layer's own: a wrapper that is made frozen does not
        freeze what it wraps.
        """
        outer = self.policy, self.trainable
        self.policy, self.trainable = policy, trainable
        try:
            yield
        finally:
            self.policy, self.trainable = outer

    @contextmanager
    def open_row(self, layer: Layer, call: Hashable = None) -> Iterator[_Row]:
        """The nodes of one call of a leaf layer; (path, call number) is unique.

        A ``call`` that was met before goes on with its row.
        """
        outer_row, outer_scope = self.row, self.scope
        origin = self.met.get(call) if call is not None else None
        left = None if layer.stored is None else list(layer.stored)
        if not isinstance(origin, Origin):
            path = "/".join((*self.scope, layer.name))
            self._calls[path] = self._calls.get(path, 0) + 1
            origin = self.met[call] = Origin(layer.kind, path, self._calls[path])
        self.row = row = _Row(origin, layer, left)
        self.scope = (*outer_scope, layer.name)
        try:
            yield row
        finally:
            self.row, self.scope = outer_row, outer_scope

    @contextmanager
    def container(self, layer: Layer, *names: str, call: Hashable = None) -> Iterator[None]:
        """A traced model's call: its layers are rows, and its own operations one row together.

        A ``call`` that was met before goes on with its row.
        """
        with self.scoped(*names):
            met = self.met.get(call) if call is not None else None
            entry = met if isinstance(met, _Container) else _Container(layer, self.scope)
            self.met[call] = entry
            self.containers.append(entry)
            try:
                yield
            finally:
                self.containers.pop()

    @property
    def origin(self) -> Origin:
        """The layer call that what is made now belongs to: the open row's, or the row of the
        operations that the innermost traced model makes itself."""
        if self.row is not None:
            return self.row.origin
        container = self.containers[-1]
        if container.origin is None:
            path = "/".join(container.scope) or container.layer.name
            self._calls[path] = call = self._calls.get(path, 0) + 1
            container.origin = Origin(container.layer.kind, path, call)
        return container.origin

    # -- weights ---------------------------------------------------------------------------

    def weight(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str | None = None,
        trainable: bool = True,
        logical: Shape | None = None,
        auxiliary: bool = False,
    ) -> Tensor:
        """Declare a variable of the layer: the same one on every call.

        ``dtype`` defaults to the policy's variable dtype. Raises LoweringError when the model
        stores none of this shape and dtype.
        """
        assert self.row is not None
        row = self.row
        declared = TensorType(tuple(shape), dtype or self.policy.variable)
        full = "/".join((*row.prefix, name))
        stored = self._stored(row, name, full, declared)
        if stored is None or stored.trainable is None:
            key: Hashable = (row.layer.identity, full)
            return self._variable(
                key, full, declared, trainable and self.trainable, logical, auxiliary
            )
        if stored.trainable != trainable and not stored.frozen:
            raise LoweringError(
                row.origin.layer,
                f"{full} is {'' if stored.trainable else 'not '}trainable in Keras and is read "
                "as the opposite",
                "Please report this model.",
            )
        return self._variable(stored.key, full, declared, stored.trainable, logical, auxiliary)

    def variable(
        self, key: Hashable, name: str, type_: TensorType, auxiliary: bool = False
    ) -> Tensor:
        """A variable known by its own identity, in a graph without layers that declare theirs.

        It is the same one wherever it is read, and nothing says that it is trained.
        """
        return self._variable(key, name, type_, False, auxiliary=auxiliary)

    def _variable(
        self,
        key: Hashable,
        full: str,
        type_: TensorType,
        trainable: bool,
        logical: Shape | None = None,
        auxiliary: bool = False,
    ) -> Tensor:
        """The weight of this identity, registered where it is first met."""
        owner, value = self.origin.layer, self._weight_ids.get(key)
        if value is None:
            value = self._weight_ids[key] = self._weight_id(key, f"{owner}/{full}")
            self.values[value] = type_
            self.weights[value] = Weight(
                value, f"{owner}/{full}", type_, trainable, owner, logical, auxiliary
            )
        return Tensor(value, self.values[value])

    def _weight_id(self, key: Hashable, name: str) -> str:
        """A new value, or the constant that an operation used before the variable's layer."""
        value = self._constant_ids.pop(key, None)
        if value is None:
            return self._unique(name)
        del self.constants[value]
        return value

    def _stored(self, row: _Row, name: str, full: str, declared: TensorType) -> Stored | None:
        if row.left is None:
            return None
        known = row.taken.get(full)  # a layer inside this one, called again
        if known is not None and known.type == declared:
            return known
        same = [s for s in row.left if s.type == declared]
        if same:
            stored = next((s for s in same if s.name == name), same[0])
            row.left.remove(stored)
            row.taken[full] = stored
            return stored
        held = ", ".join(f"{s.name} {s.type}" for s in row.left) or "nothing more"
        raise LoweringError(
            row.origin.layer,
            f"its {full} should be {declared}, and the model holds {held}",
            "Check the input shape; if it is right, please report this model.",
        )

    def claim_all(self) -> list[Tensor]:
        """Every stored variable of a layer that cannot be read, so that its parameters count."""
        assert self.row is not None
        left = self.row.left or []
        self.row.left = None if self.row.left is None else []
        own = bool(self.row.layer.config.get("trainable", True))
        return [
            self._variable(s.key, s.name, s.type, own if s.trainable is None else s.trainable)
            for s in left
        ]

    def held(self, stored: Stored) -> Tensor:
        """A variable of the model that a traced operation reads."""
        row = self.row
        if row is not None and row.left is not None:
            row.left = [s for s in row.left if s.key != stored.key]
        full = "/".join((*(row.prefix if row else ()), stored.name))
        return self._variable(stored.key, full, stored.type, stored.trainable is not False)

    @contextmanager
    def holding(self, layer: Layer) -> Iterator[None]:
        """Variables declared inside are those of a layer that is part of the open row."""
        row = self.row
        assert row is not None and layer.stored is not None
        left, taken = row.left, row.taken
        row.left, row.taken = list(layer.stored), {}
        try:
            yield
        finally:
            used = {s.key for s in layer.stored} - {s.key for s in row.left or ()}
            row.left = None if left is None else [s for s in left if s.key not in used]
            row.taken = taken

    def adopt(self, layer: Layer, path: str) -> None:
        """Register the variables of a layer that the model holds and never calls.

        They belong to the row of the layer around it where there is one.
        """
        owner = path
        while owner not in self._calls and "/" in owner:
            owner = owner.rpartition("/")[0]
        owner = owner if owner in self._calls else path
        for stored in layer.stored or ():
            if stored.key not in self._weight_ids:
                value = self._weight_id(stored.key, f"{path}/{stored.name}")
                self._weight_ids[stored.key] = value
                self.values[value] = stored.type
                trainable = stored.trainable is not False
                self.weights[value] = Weight(value, value, stored.type, trainable, owner)

    # -- sizes and notes -------------------------------------------------------------------

    def open_length(self, what: str) -> int:
        """The length that this layer leaves open, from ``--dim LAYER=N``."""
        assert self.row is not None
        path = self.row.origin.layer
        if path not in self.dims:
            raise InputError(path, f"{what} is not fixed by its input", f"Pass --dim {path}=N.")
        self.unused_dims.discard(path)
        return self.dims[path]

    def note(self, text: str) -> None:
        """A sentence for the reader of a report, said once."""
        self.notes[text] = None

    def graph(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Graph:
        """The finished graph."""
        return Graph(
            self.name,
            tuple(x.id for x in inputs),
            tuple(x.id for x in outputs),
            tuple(self.nodes),
            self.values,
            self.weights,
            self.constants,
            tuple(self.notes),
            self.returns,
        )


def _dtype(wanted: str | None, inferred: str) -> dict[str, str]:
    return {} if wanted is None or wanted == inferred else {"dtype": wanted}
