"""Run a program of layer calls through the lowerings, at concrete sizes: Program → Graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from costlens.errors import CostlensError, InputError, LoweringError
from costlens.frontends.layercall import (
    Constant,
    Group,
    Known,
    Layer,
    LayerCall,
    Open,
    PartialShape,
    Program,
    Ref,
    Step,
    Stored,
    Tensor,
    Tree,
    leaves,
    map_leaves,
)
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.declared import complete, disagreement
from costlens.frontends.lowering.masks import NO_AUTOCAST, PASSES_MASK
from costlens.frontends.lowering.not_lowered import NOT_LOWERED
from costlens.frontends.lowering.operands import Marker, tensor
from costlens.frontends.lowering.policy import read_policy
from costlens.ir.graph import Graph, Origin
from costlens.ir.types import TensorType, is_float

_MAX_CALLS = 50_000

Opener = Callable[[LayerCall], Program]
"""Traces the call of a layer that no lowering reads; raises Unreadable with the reason."""


def lower(
    program: Program,
    table: Mapping[str, Lowering],
    input_types: Sequence[TensorType],
    dims: Mapping[str, int] | None = None,
    resized: bool = False,
    opener: Opener | None = None,
) -> Graph:
    """The graph of a program at these input types.

    ``table`` maps layer keys to lowerings; a layer that it does not read is handed to
    ``opener``. Every call with known output types is checked against them; ``resized`` says that
    a fixed dimension was overridden, so that Keras's own shapes no longer hold. Raises
    LoweringError naming the layer where a call disagrees.
    """
    b = Builder(program.name, dims)
    runner = _Runner(b, table, not resized, opener)
    inputs = []
    for declared, type_ in zip(program.inputs, input_types, strict=True):
        layer = Layer("layer:InputLayer", declared.name, {}, ("input", declared.name))
        with b.open_row(layer):
            inputs.append(b.emit("input", (), shape=type_.shape, dtype=type_.dtype))
    with b.container(Layer(f"layer:{program.kind}", program.name, {}, ("model", program.name))):
        outputs = runner.program(program, inputs)
    runner.uncalled(program, ())
    for opened, scope in runner.models:
        runner.uncalled(opened, scope)
    for path in sorted(b.unused_dims):
        raise InputError(f"--dim {path}", "no layer of this path leaves a length open")
    return b.graph(inputs, [x for x in leaves(outputs) if isinstance(x, Tensor)])


class _Runner:
    """Interprets programs; ``table`` and the checks are the same all the way down."""

    def __init__(
        self,
        b: Builder,
        table: Mapping[str, Lowering],
        checked: bool,
        opener: Opener | None,
    ) -> None:
        self.b, self.table, self.checked, self.opener = b, table, checked, opener
        self.calls = 0
        self.models: list[tuple[Program, tuple[str, ...]]] = []
        b.dispatch, b.run, b.opens = self._inside, self._body, opener is not None

    def program(self, program: Program, inputs: Sequence[Tensor]) -> Tree:
        values: dict[int, Tree] = {}
        for declared, x in zip(program.inputs, inputs, strict=True):
            values[declared.value] = self._as_declared(x, len(declared.shape), declared.dtype)
        self._steps(program.steps, values)
        return self._bound(program.outputs, values)

    def _body(self, program: Program, inputs: Sequence[Tree]) -> Tree:
        """The function of a traced loop, branch or call, on whatever it is given."""
        values = dict(zip((x.value for x in program.inputs), inputs, strict=True))
        self._steps(program.steps, values)
        return self._bound(program.outputs, values, traced=True)

    def _bound(
        self, tree: Tree, values: Mapping[int, Tree], traced: bool = False, passed: bool = False
    ) -> Tree:
        """The tree with what its references stand for; a traced operation sees known numbers.

        What is ``passed`` on to a function is not read yet: a weight is its reader's.
        """

        def bind(leaf: Any) -> Any:
            if isinstance(leaf, Ref):
                leaf = values[leaf.value]
                if not isinstance(leaf, Stored):
                    return leaf if traced else self._whole(leaf)
            if isinstance(leaf, Stored):
                return leaf if passed else self.b.held(leaf)
            if isinstance(leaf, Known) and not traced:
                leaf = Constant(leaf.type, leaf.key)
            return self.b.constant(leaf) if isinstance(leaf, Constant) else leaf

        return map_leaves(bind, tree)

    def _whole(self, leaf: Any) -> Any:
        """What only traced operations know how to take, as the tensor that it stands for."""
        return tensor(self.b, leaf) if isinstance(leaf, (Known, Marker)) else leaf

    def _steps(self, steps: Sequence[Step | Group], values: dict[int, Tree]) -> None:
        for step in steps:
            if isinstance(step, Group):
                self._group(step, values)
            elif step.layer.key.partition(":")[0] in _TRACED_BY:
                self._traced(step, values)
            else:
                self._step(step, values)

    def _step(self, step: Step, values: dict[int, Tree]) -> None:
        args, kwargs = self._bound(step.args, values), self._bound(step.kwargs, values)
        made = self.call(step.layer, args, kwargs, step.expected)
        found = [x for x in leaves(made) if isinstance(x, (Tensor, Open))]
        if len(found) == 1 and isinstance(found[0], Open):
            found *= len(step.outputs)
        if len(found) < len(step.outputs):
            raise LoweringError(
                self._path(step.layer), f"{len(step.outputs)} outputs, read as {len(found)}"
            )
        values.update(zip(step.outputs, found, strict=False))

    def _group(self, group: Group, values: dict[int, Tree]) -> None:
        """A traced call: a row of its own, rows inside, or part of the row that is open."""
        b, name = self.b, group.layer.name
        if b.row is None and group.container:
            with b.container(group.layer, name, call=group.call):
                return self._steps(group.steps, values)
        if b.row is not None:
            with b.scoped(name):
                return self._steps(group.steps, values)
        again = group.call in b.met
        with b.open_row(group.layer, group.call) as row:
            start = len(b.nodes)
            self._steps(group.steps, values)
            if again:
                return None
            given = [ref.value for ref in group.outputs if ref.value in values]  # the rest is dead
            if len(b.nodes) == start:  # it returns what it was given
                tensors = [(n, values[n]) for n in given if isinstance(values[n], Tensor)]
                values.update((n, b.identity(x)) for n, x in tensors)
            b.claim_all()
            b.returns[row.origin] = tuple(
                values[n].id for n in given if isinstance(values[n], Tensor)
            )
        return None

    def _traced(self, step: Step, values: dict[int, Tree]) -> None:
        """An operation of a traced graph; what is not read of it is unknown, and nothing else."""
        b = self.b
        # of TensorFlow's operations, those that call functions hold these and no attributes
        passed = step.layer.key[:3] == "tf:" and isinstance(step.layer.config, dict)
        args = self._bound(step.args, values, traced=True, passed=passed)
        call = LayerCall(step.layer, args, {}, step.expected)
        start, before = len(b.nodes), _open(args)
        try:
            fn = self.table.get(step.layer.key)
            if before is not None or fn is None:
                raise Unreadable(before or f"{_traced_name(step.layer)} is not read")
            made = fn(b, call)
        except Unreadable as reason:
            del b.nodes[start:]
            made = self._given_up(call, str(reason), complete(step.expected, ()), [])
        made = made if isinstance(made, (list, tuple)) else [made] * len(step.outputs)
        values.update(zip(step.outputs, made, strict=False))
        return

    def _as_declared(self, x: Tensor, rank: int, dtype: str) -> Tensor:
        """An inner model converts its inputs to the dtype and rank that it declares.

        That is a row of the model's own, unless a wrapper holds the model in its row.
        """
        b, scope = self.b, self.b.scope
        if isinstance(x, Open):
            return x
        if x.dtype == dtype and x.rank == rank:
            return x
        if b.row is not None:
            return self._convert(x, rank, dtype)
        b.scope = scope[:-1]
        try:
            with b.open_row(Layer("layer:Functional", scope[-1], {}, ("cast", scope))):
                return self._convert(x, rank, dtype)
        finally:
            b.scope = scope

    def _convert(self, x: Tensor, rank: int, dtype: str) -> Tensor:
        shape = x.shape
        if x.rank == rank + 1:
            shape = x.shape[:-1]
        elif x.rank == rank - 1:
            shape = (*x.shape, 1)
        made = self.b.cast(self.b.reshape(x, shape), dtype)
        return Tensor(made.id, made.type, x.mask)

    def _count(self) -> None:
        """A small file may hold models that call each other without an end in sight."""
        self.calls += 1
        if self.calls > _MAX_CALLS:
            raise LoweringError(self.b.name, f"its layers are called over {_MAX_CALLS:,} times")

    def _path(self, layer: Layer) -> str:
        return "/".join((*self.b.scope, layer.name))

    def call(
        self,
        layer: Layer,
        args: tuple[Tree, ...],
        kwargs: Mapping[str, Tree],
        expected: tuple[tuple[PartialShape, str], ...],
    ) -> Tree:
        """One call of a layer, a row of its own unless inside one already."""
        self._count()
        if layer.program is not None:
            with self.b.scoped(layer.name):
                return self.program(layer.program, _inputs(layer.program, args, kwargs))
        if self.b.row is not None:
            with self.b.scoped(layer.name):
                return self._part(LayerCall(layer, args, kwargs, expected))
        call = LayerCall(layer, args, kwargs, expected)
        program = self._own_model(call)
        if program is None:
            return self._row(call)
        with self.b.container(layer, layer.name):
            self.models.append((program, self.b.scope))
            return self.program(program, call.tensors)

    def _own_model(self, call: LayerCall) -> Program | None:
        """What a model does whose call is its own; None where it is none, or cannot be traced."""
        layer = call.layer
        if not layer.container or self.opener is None or _open((call.args, call.kwargs)):
            return None
        try:
            return None if layer.key in self.table else self.opener(call)
        except Unreadable:
            return None

    def _inside(self, layer: Layer, args: Sequence[Tree], kwargs: Mapping[str, Tree]) -> Tree:
        """A wrapped layer: part of the row that is open."""
        self._count()
        if layer.program is not None:
            return self.program(layer.program, _inputs(layer.program, args, kwargs))
        return self._leaf(LayerCall(layer, tuple(args), kwargs))

    def _row(self, call: LayerCall) -> Tree:
        b = self.b
        with b.open_row(call.layer) as row:
            origin, start = row.origin, len(b.nodes)
            try:
                made = self._leaf_or_opened(call, start)
            except Unreadable as reason:
                made = self._unknown(call, str(reason), start)
            except CostlensError:
                raise
            except Exception as error:  # whatever the user's sizes and settings break
                raise LoweringError(
                    origin.layer,
                    f"{origin.kind} could not be read: {error or type(error).__name__}",
                    "Check the input shape; if it is right, please report this model.",
                ) from error
            made = self._with_row(made, call, start)
            self._check(call, origin, made, [s.name for s in row.left or ()])
            b.returns[origin] = tuple(x.id for x in leaves(made) if isinstance(x, Tensor))
            return made

    def _part(self, call: LayerCall) -> Tree:
        """A layer inside a row that was traced; where it is unknown, the rest of the row is not."""
        b = self.b
        if call.layer.stored is None:
            return self._leaf(call)
        start = len(b.nodes)
        with b.holding(call.layer):
            try:
                return self._leaf_or_opened(call, start)
            except Unreadable as reason:
                return self._unknown(call, str(reason), start)

    def _leaf_or_opened(self, call: LayerCall, start: int) -> Tree:
        """A call as its lowering reads it, or else as it is traced."""
        b = self.b
        try:
            return self._leaf(call)
        except Unreadable:
            if self.opener is None or _open((call.args, call.kwargs)):
                raise
            program = self.opener(call)
            del b.nodes[start:]
            assert b.row is not None
            b.row.left = list(call.layer.stored or ())
            made = self.program(program, call.tensors)
            if self.checked and disagreement(call, made):
                raise  # Keras declares another shape, which the rest of the model is built on
            b.claim_all()
            return made

    def _leaf(self, call: LayerCall) -> Tree:
        """Lower one call under the current row: dtype policy, autocast, the table's function."""
        b, layer = self.b, call.layer
        open_size = _open((call.args, call.kwargs))
        if open_size or layer.unreadable:
            raise Unreadable(open_size or layer.unreadable)
        fn = self.table.get(layer.key)
        if fn is None:
            raise Unreadable(NOT_LOWERED.get(layer.key, f"{layer.kind} is not a layer of Keras"))
        if layer.key.startswith("op:"):
            return map_leaves(_unmasked, fn(b, call))
        call = LayerCall(
            layer,
            map_leaves(self._seen_mask, call.args),
            map_leaves(self._seen_mask, call.kwargs),
            call.expected,
        )
        config = layer.config
        policy = read_policy(config.get("dtype"), "/".join(b.scope))
        with b.configured(policy, bool(config.get("trainable", True))):
            if config.get("autocast", True) and layer.kind not in NO_AUTOCAST:
                call = LayerCall(
                    layer,
                    map_leaves(self._autocast, call.args),
                    map_leaves(self._autocast, call.kwargs),
                    call.expected,
                )
            return self._with_mask(fn(b, call), call)

    def _seen_mask(self, leaf: Any) -> Any:
        """A tensor without the mask that an earlier layer took off it."""
        if isinstance(leaf, Tensor) and leaf.mask is not None and leaf.id in self.b.unmasked:
            return Tensor(leaf.id, leaf.type)
        return leaf

    def _autocast(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and is_float(leaf.dtype):
            return self.b.cast(leaf, self.b.policy.compute)
        return leaf

    def _with_mask(self, made: Tree, call: LayerCall) -> Tree:
        """Keras's default: the mask of a layer's one input travels on to its one output."""
        tensors = call.tensors
        if (
            isinstance(made, Tensor)
            and made.mask is None
            and call.layer.kind in PASSES_MASK
            and len(tensors) >= 1
            and tensors[0].mask is not None
        ):
            return Tensor(made.id, made.type, tensors[0].mask)
        return made

    def _with_row(self, made: Tree, call: LayerCall, start: int) -> Tree:
        """A call that made no node, or returns what it was given, still gets a row: a view."""
        b = self.b
        given = {x.id for x in call.tensors}

        def own(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and leaf.id in given:
                return Tensor(b.identity(leaf).id, leaf.type, leaf.mask)
            return leaf

        made = map_leaves(own, made)
        if len(b.nodes) == start and isinstance(made, Tensor):
            made = Tensor(b.identity(made).id, made.type, made.mask)
        return made

    def _unknown(self, call: LayerCall, reason: str, start: int) -> Tree:
        b, layer = self.b, call.layer
        del b.nodes[start:]
        assert b.row is not None
        b.row.left = list(layer.stored) if layer.stored is not None else None
        types = self._declared_types(call)
        if layer.stored is None and layer.key != "layer:Lambda" and layer.key[:3] != "op:":
            reason += "; how many parameters it has is unknown"
        return self._given_up(call, reason, types, b.claim_all())

    def _given_up(
        self,
        call: LayerCall,
        reason: str,
        types: list[TensorType] | None,
        weights: Sequence[Tensor],
    ) -> Tree:
        """An unknown node; where what it gives has no known size, so is whatever reads that."""
        made = self.b.unknown(reason, [*call.tensors, *weights], types or [])
        return Open(reason) if types is None else list(made)

    def _declared_types(self, call: LayerCall) -> list[TensorType] | None:
        """What Keras says that a call returns, the batch filled in; it holds at its own sizes.

        None where it is not told, or leaves a size open.
        """
        if not self.checked:
            raise LoweringError(
                "/".join(self.b.scope),
                f"{call.layer.kind} is not read, and neither is what it returns at another size",
                "Build the model at that size, or leave its fixed sizes as they are.",
            )
        batch = next((x.shape[:1] for x in call.tensors if x.rank), ())
        return complete(call.expected, batch) if call.expected else None

    def _check(self, call: LayerCall, origin: Origin, made: Tree, left: list[str]) -> None:
        if left:
            raise LoweringError(
                origin.layer,
                f"{origin.kind} holds weights that reading it does not use ({', '.join(left)})",
                "Please report this model.",
            )
        told = disagreement(call, made) if self.checked else ""
        if told:
            raise LoweringError(
                origin.layer, f"{origin.kind} is read as {told}", "Please report this model."
            )

    def uncalled(self, program: Program, scope: tuple[str, ...]) -> None:
        """Layers that a model holds and never calls still hold parameters."""
        for layer in program.uncalled:
            self.b.adopt(layer, "/".join((*scope, layer.name)))
        for step in program.steps:
            if step.layer.program is not None:
                self.uncalled(step.layer.program, (*scope, step.layer.name))


_TRACED_BY = {"tf": "TensorFlow", "jax": "JAX"}
"""How the keys of traced operations begin, and whose operations they are."""


def _traced_name(layer: Layer) -> str:
    return f"{_TRACED_BY[layer.key.partition(':')[0]]}'s {layer.kind}"


def _open(tree: Tree) -> str | None:
    """Why a tensor among the arguments has no known size; None where all have one."""
    return next((x.reason for x in leaves(tree) if isinstance(x, Open)), None)


def _inputs(program: Program, args: Sequence[Tree], kwargs: Mapping[str, Tree]) -> list[Tensor]:
    """The tensors that a model is called on; masks that it is given travel on them.

    As Keras binds them: a dict by the names of the inputs, what is left over ignored.
    """
    given = args[0] if args else kwargs.get("inputs")
    names = [declared.name for declared in program.inputs]
    if isinstance(given, Mapping) and set(names) <= set(given):
        given = [given[name] for name in names]
    tensors: list[Any] = [x for x in leaves(given) if isinstance(x, (Tensor, Open))]
    masks = list(leaves(args[2] if len(args) > 2 else kwargs.get("mask")))
    if len(masks) != len(tensors):
        return tensors
    return [_masked(x, mask) for x, mask in zip(tensors, masks, strict=True)]


def _masked(x: Tensor, mask: Any) -> Tensor:
    return Tensor(x.id, x.type, lambda: mask) if isinstance(mask, Tensor) else x


def _unmasked(leaf: Any) -> Any:
    """No mask travels through an operation, even where it returns what it was given."""
    return Tensor(leaf.id, leaf.type) if isinstance(leaf, Tensor) and leaf.mask else leaf
