"""Input sizes: what a model declares, and what ``--batch`` and ``--input-shape`` settle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING

from costlens.errors import InputError
from costlens.ir.types import Shape, TensorType

if TYPE_CHECKING:
    from costlens.frontends.layercall import PartialShape, ProgramInput

InputShape = Sequence[int] | Mapping[str, Sequence[int]] | Sequence[Sequence[int]] | None
"""One shape, one per input in order, or by input name; all without the batch axis."""

Inputs = Mapping[str, tuple[str, Sequence[int]]]
"""By name, the dtype and the whole shape, as ``--input tokens=int32:1,128`` gives them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The sizes to read a model at, and what to trace of it besides.

    ``inputs`` says what a subclassed model takes; ``imports`` are files with layers of the user's
    that a saved model needs. ``verify`` asks for the graph that the
    framework traces of the model, ``training`` for that of a training step.
    """

    batch: int | None = None
    input_shape: InputShape = None
    dims: Mapping[str, int] | None = None
    inputs: Inputs | None = None
    imports: tuple[str, ...] = ()
    verify: bool = False
    training: bool = False


AS_IT_IS = Wanted()
"""The model at the sizes that it has itself, and nothing besides."""


def settle(
    inputs: Sequence[ProgramInput], batch: int | None = None, input_shape: InputShape = None
) -> tuple[tuple[TensorType, ...], bool]:
    """Concrete input types, and whether a flag overrode a dimension that the model fixes.

    A dimension that is left open takes the flag's value; an open batch is 1. Raises InputError
    naming the input and the flag where a dimension stays open or the ranks differ.
    """
    if batch is not None and (isinstance(batch, bool) or not hasattr(batch, "__index__")):
        raise InputError("--batch", f"{batch} is not a whole number", "Pass one from 1.")
    batch = None if batch is None else index(batch)
    if batch is not None and batch < 1:
        raise InputError("--batch", f"{batch} is not a batch size", "Pass a whole number from 1.")
    given = _by_name(inputs, input_shape)
    _require_all(inputs, given)
    types, resized = [], False
    for declared in inputs:
        wanted = given.get(declared.name)
        shape = _settle_one(declared, batch, wanted)
        resized |= any(n is not None and n != m for n, m in zip(declared.shape, shape, strict=True))
        types.append(TensorType(shape, declared.dtype))
    return tuple(types), resized


def only_shape(input_shape: InputShape) -> Shape | None:
    """The shape for a model's one input, which has no name yet; None where not one is given."""
    if isinstance(input_shape, Mapping):
        return _shape(*input_shape.values()) if len(input_shape) == 1 else None
    if not input_shape:
        return None
    if not isinstance(input_shape[0], (tuple, list)):
        return _shape(input_shape)
    return _shape(input_shape[0]) if len(input_shape) == 1 else None


def _require_all(inputs: Sequence[ProgramInput], given: Mapping[str, Shape]) -> None:
    """Every input has a size for every axis, or the error names all that do not."""
    still_open = [x for x in inputs if x.name not in given and None in x.shape[1:]]
    if not still_open:
        return
    flags = (
        f"--input-shape {x.name}={','.join(str(n) if n else 'N' for n in x.shape[1:])}"
        for x in still_open
    )
    first, more = still_open[0], len(still_open) - 1
    raise InputError(
        f"input {first.name}",
        f"its shape ({_text(first.shape[1:])}) has undefined dimensions"
        + (f", and {more} more inputs have some" if more else ""),
        f"Pass {' '.join(flags)} with a number for each N.",
    )


def _settle_one(declared: ProgramInput, batch: int | None, wanted: Shape | None) -> Shape:
    if not declared.shape:
        return ()
    first, rest = declared.shape[0], declared.shape[1:]
    if wanted is not None and len(wanted) != len(rest):
        raise InputError(
            f"input {declared.name}",
            f"the shape ({_text(wanted)}) is given and the model takes ({_text(rest)})",
            "Give it without the batch dimension.",
        )
    sizes = wanted if wanted is not None else rest
    return (batch or first or 1, *(n for n in sizes if n is not None))


def _by_name(inputs: Sequence[ProgramInput], given: InputShape) -> Mapping[str, Shape]:
    names = [declared.name for declared in inputs]
    if given is None:
        return {}
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise InputError(
                    f"--input-shape {name}",
                    "the model has no input of this name",
                    f"Its inputs: {', '.join(names)}.",
                )
        return {name: _shape(shape) for name, shape in given.items()}
    nested = isinstance(given, Sequence) and any(isinstance(x, (tuple, list)) for x in given)
    shapes = list(given) if nested else [given]
    if len(shapes) != len(names):
        raise InputError(
            "--input-shape",
            f"as many shapes as inputs are needed, and {len(shapes)} of {len(names)} are given",
            f"Name them: {', '.join(names)}.",
        )
    return {name: _shape(shape) for name, shape in zip(names, shapes, strict=True)}


def _shape(shape: object) -> Shape:
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    try:
        whole = tuple(index(n) for n in sizes)
    except TypeError:
        whole = (0,)
    if min(whole, default=1) < 1 or any(isinstance(n, bool) for n in sizes):
        shown = ", ".join(map(str, sizes))
        raise InputError("--input-shape", f"{shown} is not a shape", "Pass whole numbers from 1.")
    return whole


def _text(shape: PartialShape) -> str:
    return ", ".join("None" if n is None else str(n) for n in shape)
