"""A jaxpr and the layer calls in it → a Program.

Only what leads to the outputs is kept. A layer call that the lowering reads becomes one step,
whatever equations it made; the rest of the equations become steps ``jax:primitive``, grouped
under the layer that made them. Called functions, branches and loop bodies become programs of
their own in the config of the step that calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from costlens.frontends.jax_static import (
    FEW,
    evaluate,
    is_literal,
    live,
    needed,
    purposes,
    resizing,
    turns,
)
from costlens.frontends.jax_trace import Frame, Slot, Trace, frames_in
from costlens.frontends.layercall import (
    Constant,
    Group,
    Known,
    Layer,
    Program,
    ProgramInput,
    Ref,
    Step,
    map_leaves,
)
from costlens.frontends.lowering.jax_control import CALLS
from costlens.frontends.tf_graph import View
from costlens.ir.types import TensorType

_CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Parameters that hold the function of an equation that calls one."""

_WITH_FUNCTIONS = (*CALLS, "scan", "while", "cond")

_DTYPES = {"int4": "int8", "uint4": "uint8", "int2": "int8", "uint2": "uint8", "float0": "bool"}


def program_of(traced: Trace, view: View, name: str, kind: str) -> Program:
    """The program of a traced call: its inputs in order, and whatever its outputs need."""
    shared = _Shared(view, traced.backward)
    for frame in traced.frames:
        frame.whole = view.readable(shared.layer(frame.layer))
    jaxpr = live(traced.closed.jaxpr)
    body = _Body(shared, jaxpr, traced.closed.consts)
    inputs = body.inputs()
    steps = body.steps(body.equations, tuple(traced.frames[:1]))
    made = [body.leaf(var) for var in jaxpr.outvars]
    outputs = map_leaves(
        lambda x: made[x.index] if isinstance(x, Slot) else view.leaf(x), traced.outputs
    )
    return Program(name, inputs, steps, (outputs, made) if traced.backward else outputs, (), kind)


@dataclass(frozen=True, eq=False, slots=True)
class Same:
    """A key that stands for an object, and keeps it, so that no other one takes its id."""

    of: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.of is self.of

    def __hash__(self) -> int:
        return id(self.of)


@dataclass(eq=False, slots=True)
class _Shared:
    """What the jaxprs of one trace have in common."""

    view: View
    backward: bool = False
    layers: dict[int, Layer] = field(default_factory=dict)
    values: dict[Hashable, Callable[[], Any]] = field(default_factory=dict)

    def layer(self, layer: Any) -> Layer:
        known = self.layers.get(id(layer))
        if known is None:
            known = self.layers[id(layer)] = self.view.layer(layer)
        return known

    def number(self, leaf: Any) -> Any:
        """The numbers of a known leaf, or None."""
        if not isinstance(leaf, Known):
            return None
        return leaf.value if leaf.value is not None else self.values[leaf.key]()


class _Body:
    """Reads one jaxpr: numbers its variables, and keeps what each stands for."""

    def __init__(
        self,
        shared: _Shared,
        jaxpr: Any,
        consts: Sequence[Any],
        given: Sequence[Any] = (),
        purposes: frozenset[str] = frozenset(),
    ) -> None:
        self.shared, self.jaxpr, self.purposes = shared, jaxpr, purposes
        self.token = object()
        self.numbers: dict[Any, int] = {}
        self.leaf_of: dict[Any, Any] = {}
        self.equations = needed(jaxpr)
        self.path = {id(eqn): frames_in(eqn.source_info.name_stack) for eqn in self.equations}
        self.enters: dict[Frame, Any] = {}
        self.leaves: dict[tuple[Frame, int], Any] = {}
        self.opened: set[Frame] = set()
        for var, const in zip(jaxpr.constvars, consts, strict=True):
            self.leaf_of[var] = _array(const, Same(const))
        for var, leaf in zip(jaxpr.invars, given, strict=False):
            if isinstance(leaf, Known):
                self.leaf_of[var] = leaf
        self._find_markers()
        while self._open_escaped():
            pass

    def inputs(self) -> tuple[ProgramInput, ...]:
        """The inputs of the program."""
        return tuple(
            ProgramInput(self.number(var), f"input_{i}", *type_of(var))
            for i, var in enumerate(self.jaxpr.invars)
        )

    # -- layer calls -------------------------------------------------------------------------

    def _find_markers(self) -> None:
        for eqn in self.equations:
            if eqn.primitive.name not in ("costlens_enter", "costlens_leave"):
                continue
            frame, index = eqn.params["frame"], eqn.params.get("index")
            again = frame in self.enters if index is None else (frame, index) in self.leaves
            if eqn.params["batched"] or again:
                self.opened.add(frame)
            if index is None:
                self.enters[frame] = eqn
            else:
                self.leaves[frame, index] = eqn

    def is_step(self, frame: Frame) -> bool:
        """Whether a call is one step: its layer is read, and all that it gives is known."""
        return frame.whole and frame in self.enters and frame not in self.opened

    def _whole(self, eqn: Any) -> Frame | None:
        """The step that an equation is part of."""
        return next((f for f in self.path[id(eqn)] if self.is_step(f)), None)

    def _open_escaped(self) -> bool:
        """Open the calls of which a tensor is read that they do not return; whether there are any.

        A layer may keep a tensor for others, such as the scores of an attention.
        """
        inside: dict[Any, Frame] = {}
        reads: list[Any] = [var for var in self.jaxpr.outvars if not is_literal(var)]
        for eqn in self.equations:
            frame, own = self._whole(eqn), _marks(eqn)
            if frame is None or own == ("costlens_enter", frame):
                reads.extend(var for var in eqn.invars if not is_literal(var))
            if frame is not None and own != ("costlens_leave", frame):
                inside.update((var, frame) for var in eqn.outvars)
        escaped = {inside[var] for var in reads if var in inside}
        self.opened |= escaped
        return bool(escaped)

    # -- steps -------------------------------------------------------------------------------

    def steps(self, equations: Sequence[Any], around: tuple[Frame, ...]) -> tuple[Any, ...]:
        """The steps of equations inside these calls, those of calls further in grouped."""
        made: list[Step | Group] = []
        done: set[Frame] = set()

        def call(eqn: Any) -> Frame | None:
            return next((f for f in self.path[id(eqn)] if f not in around), None)

        for frame, group in groupby(equations, key=call):
            run = list(group)
            if frame is None:
                for eqn in run:
                    made.extend(self._equation(eqn, around))
            elif not self.is_step(frame):
                inner = self.steps(run, (*around, frame))
                layer = self.shared.layer(frame.layer)
                container = self.shared.view.container(frame.layer)
                made.append(Group(layer, inner, self._given(frame), container, self._key(frame)))
            elif frame not in done:
                done.add(frame)
                made.append(self._step(frame))
        return tuple(made)

    def _key(self, frame: Frame) -> Hashable:
        """What a call is known by; one in a function that is called twice is two calls.

        A backward pass goes on with the calls of the forward pass, from whatever function.
        """
        return ("frame", Same(frame), None if self.shared.backward else self.token)

    def _given(self, frame: Frame) -> tuple[Ref, ...]:
        """What a group gives its caller."""
        found = [self.leaves.get((frame, i)) for i in range(len(frame.types))]
        made = [self.leaf_of.get(eqn.outvars[0]) for eqn in found if eqn is not None]
        return tuple(leaf for leaf in made if isinstance(leaf, Ref))

    def _step(self, frame: Frame) -> Step:
        given = [self.leaf(var) for var in self.enters[frame].invars]
        args, kwargs = map_leaves(lambda x: self._argument(x, given), (frame.args, frame.kwargs))
        outputs = []
        for index in range(len(frame.types)):
            eqn = self.leaves.get((frame, index))
            outputs.append(self.number((frame, index) if eqn is None else eqn.outvars[0]))
        types = tuple((shape, _DTYPES.get(dtype, dtype)) for shape, dtype in frame.types)
        return Step(self.shared.layer(frame.layer), args, kwargs, tuple(outputs), types)

    def _argument(self, value: Any, given: Sequence[Any]) -> Any:
        if isinstance(value, Slot):
            return given[value.index]
        if hasattr(value, "_initializer") and hasattr(value, "path"):
            return self.shared.view.variable(value)
        return self.shared.view.leaf(value)

    def _equation(self, eqn: Any, around: tuple[Frame, ...]) -> Iterator[Step]:
        name = eqn.primitive.name
        if name in ("costlens_enter", "costlens_leave"):
            self.leaf_of.update(zip(eqn.outvars, map(self.leaf, eqn.invars), strict=True))
            return
        if name == "costlens_variable":
            variable = eqn.params["held"].variable
            self.leaf_of[eqn.outvars[0]] = self.shared.view.variable(variable)
            return
        args = tuple(map(self.leaf, eqn.invars))
        if all(isinstance(x, Known) for x in args) and all(map(_foldable, eqn.outvars)):
            for index, var in enumerate(eqn.outvars):
                self.leaf_of[var] = self._folded(eqn, args, index)
            return
        layer = Layer(f"jax:{name}", _label(eqn), self._config(eqn, args, around), Same(eqn))
        types = tuple(map(type_of, eqn.outvars))
        yield Step(layer, args, {}, tuple(map(self.number, eqn.outvars)), types)

    def _folded(self, eqn: Any, args: Sequence[Known], index: int) -> Known:
        """What an equation gives whose operands are known; worked out when it is asked for."""
        shape, dtype = type_of(eqn.outvars[index])
        key, shared = ("jax", Same(eqn), index), self.shared

        def value() -> Any:
            operands = [shared.number(x) for x in args]
            return None if any(x is None for x in operands) else evaluate(eqn, operands, index)

        shared.values[key] = value
        return Known(TensorType(shape, dtype), None, key)

    def _config(
        self, eqn: Any, args: Sequence[Any], around: tuple[Frame, ...]
    ) -> Mapping[str, Any]:
        """The parameters of an equation, its functions as programs."""
        params, name = eqn.params, eqn.primitive.name
        if name in CALLS:
            jaxpr = next(params[key] for key in _CALLED if key in params)
            label = str(params.get("name", name))
            inner = getattr(jaxpr, "jaxpr", jaxpr)
            resizes = label == "_resize" and "image" in purposes(eqn)
            program = self._program(eqn, jaxpr, args, around, label)
            return {"f": program, "method": resizing(inner) if resizes else None}
        if name == "scan":
            consts = args[: params["num_consts"]]
            keep = {key: params[key] for key in ("length", "num_consts", "num_carry")}
            return {**keep, "body": self._program(eqn, params["jaxpr"], consts, around, name)}
        if name == "while":
            consts = args[params["cond_nconsts"] :][: params["body_nconsts"]]
            body = self._program(eqn, params["body_jaxpr"], consts, around, name)
            times = turns(eqn, lambda var: self.shared.number(self.leaf(var)))
            skip = params["cond_nconsts"]
            return {"body": body, "turns": times, "skip": skip, "consts": params["body_nconsts"]}
        if name == "cond":
            branches = list(params["branches"])
            taken = self.shared.number(args[0])
            if taken is not None:
                branches = [branches[int(np.clip(int(taken), 0, len(branches) - 1))]]
            read = [self._program(eqn, branch, args[1:], around, name) for branch in branches]
            return {f"branch{i}": program for i, program in enumerate(read)}
        return {**params, "purposes": self._purposes(eqn)}

    def _purposes(self, eqn: Any) -> frozenset[str]:
        """What an equation is for, as the function around it or it itself shows."""
        if eqn.primitive.name not in ("dot_general", "conv_general_dilated", *_WITH_FUNCTIONS):
            return self.purposes
        return self.purposes | purposes(eqn)

    def _program(
        self,
        eqn: Any,
        jaxpr: Any,
        given: Sequence[Any],
        around: tuple[Frame, ...],
        name: str,
    ) -> Program:
        """A called function, a branch or the body of a loop."""
        consts = getattr(jaxpr, "consts", ())
        inner = getattr(jaxpr, "jaxpr", jaxpr)
        body = _Body(self.shared, inner, consts, given, self._purposes(eqn))
        inputs = body.inputs()
        steps = body.steps(body.equations, around)
        return Program(name, inputs, steps, tuple(map(body.leaf, body.jaxpr.outvars)))

    # -- tensors -----------------------------------------------------------------------------

    def number(self, var: Any) -> int:
        """The number of a variable in the program of this jaxpr."""
        return self.numbers.setdefault(var, len(self.numbers))

    def leaf(self, var: Any) -> Any:
        """A variable as a reference, a weight, a constant, or numbers where they are known."""
        if is_literal(var):
            value = np.asarray(var.val, var.aval.dtype)  # some versions hold a Python number
            scalar = ("jax", str(value.dtype), repr(var.val))
            return _array(value, Same(var.val) if value.shape else scalar)
        known = self.leaf_of.get(var)
        return Ref(self.number(var)) if known is None else known


def type_of(var: Any) -> tuple[tuple[int, ...], str]:
    """The shape and dtype of a variable; a random key is the numbers that it holds."""
    shape, dtype = tuple(var.aval.shape), str(var.aval.dtype)
    if dtype.startswith("key<"):
        return (*shape, 2), "uint32"
    return shape, _DTYPES.get(dtype, dtype)


def _label(eqn: Any) -> str:
    return str(eqn.params.get("name") or eqn.primitive.name)


def _marks(eqn: Any) -> tuple[str, Any]:
    """The name of a marker, and the call whose marker it is."""
    return eqn.primitive.name, eqn.params.get("frame")


def _foldable(var: Any) -> bool:
    """Whether what an equation gives is a few whole numbers: index arithmetic, done once."""
    shape, dtype = type_of(var)
    return TensorType(shape, dtype).size <= FEW and (dtype == "bool" or "int" in dtype)


def _array(value: Any, key: Hashable) -> Known | Constant:
    """A captured array: its numbers where they are few, else a constant."""
    type_ = TensorType(tuple(np.shape(value)), _DTYPES.get(str(value.dtype), str(value.dtype)))
    if type_.dtype.startswith("key<"):
        return Constant(TensorType((*type_.shape, 2), "uint32"), key)
    if type_.size > FEW:
        return Constant(type_, key)
    return Known(type_, np.asarray(value), key)
