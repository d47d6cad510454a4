"""The models that a script makes: where each was made, what it was given, which one leads."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

from costlens.errors import InputError
from costlens.frontends.keras_live import function_of
from costlens.frontends.script.guard import Guard
from costlens.frontends.script.log import Log
from costlens.frontends.script.patches import Patches
from costlens.frontends.script.symbolic import Leaf
from costlens.frontends.target import Target


@dataclass(frozen=True, slots=True)
class Found:
    """A model, the TARGET that names it, its parameters, the line that makes it.

    ``inputs`` is the tree of (shape, dtype) that the script gives it; None where it is not known.
    """

    target: str
    model: Any
    params: int
    line: int | None = None
    inputs: Any = None


@dataclass
class Made:
    """A model as it is made: the user's running frames, the innermost first, and their lines."""

    model: Any
    frames: list[tuple[FrameType, int]]
    inputs: Any = None
    reached: int = 0
    strongly: bool = False


@dataclass
class Seen:
    """Every model that a script makes, in order, and what has been done with it."""

    keras: Any
    log: Log
    guard: Guard
    made: dict[int, Made] = field(default_factory=dict)
    over: bool = False
    """Whether the script has ended; models that it made go on, and are read."""
    calling: int = 0
    """How many layers' calls are running, one within another."""
    _apart: int = 0
    _clock: int = 0

    def watch(self, patches: Patches) -> None:
        """Record every model that is made from now on, and count the layers."""
        original = self.keras.Model.__new__
        layer = self.keras.layers.Layer.__init__

        def new(cls: Any, *args: Any, **kwargs: Any) -> Any:
            model = original(cls, *args, **kwargs)
            if not self._apart:
                frames = [(frame, frame.f_lineno) for frame in self.log.frames()]
                if frames and not _within_sequential(self.log):
                    self.made[id(model)] = Made(model, frames)
            return model

        def init(instance: Any, *args: Any, **kwargs: Any) -> None:
            self.guard.made += 1
            layer(instance, *args, **kwargs)

        init.__signature__ = inspect.signature(layer)  # type: ignore[attr-defined]
        patches.set(self.keras.Model, "__new__", staticmethod(new))
        patches.set(self.keras.layers.Layer, "__init__", init)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Models that are made within are none of the script's."""
        self._apart += 1
        try:
            yield
        finally:
            self._apart -= 1

    def reached(self, model: Any, inputs: Any = None, weakly: bool = False) -> None:
        """A model was trained, run or printed, on inputs of this form."""
        made = self.made.get(id(model))
        if made is None:
            return
        self._clock += 1
        made.reached = self._clock
        if inputs is not None and (made.inputs is None or not (weakly or made.strongly)):
            made.inputs, made.strongly = inputs, not weakly

    def given(self, model: Any, inputs: Any) -> None:
        """A model was built for inputs of this form."""
        made = self.made.get(id(model))
        if made is not None and made.inputs is None:
            made.inputs = inputs

    def is_own(self, model: Any) -> bool:
        """Whether a model's ``call`` is the user's own, so that only a call builds it."""
        own = function_of(model) is None and not isinstance(model, self.keras.Sequential)
        return own and not getattr(model, "_is_graph_network", False)

    def unbuilt(self, model: Any) -> bool:
        """Whether a model waits for data to be built."""
        return not model.built or (self.is_own(model) and not model.weights)


def _within_sequential(log: Log) -> bool:
    """Whether a Sequential makes the Functional model that it keeps inside."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename not in log.files:
        code = frame.f_code
        if code.co_filename.endswith("sequential.py") and code.co_name != "__new__":
            return True
        frame = frame.f_back
    return False


def found(target: str, model: Any, seen: Seen) -> Found:
    """A model as it stands now."""
    made = seen.made.get(id(model))
    line = made.frames[0][1] if made else None
    params = sum(_size(weight) for weight in _weights(model).values())
    return Found(target, model, params, line, made.inputs if made else None)


def _weights(model: Any) -> dict[int, Any]:
    try:
        return {id(weight): weight for weight in model.weights}
    except Exception:  # a Sequential that is half built, a property of the user's own
        return {}


def _size(weight: Any) -> int:
    total = 1
    for n in weight.shape:
        total *= n or 0
    return total


def models(target: Target, names: Mapping[str, Any], seen: Seen) -> list[Found]:
    """The models that a script's variables hold, and those it made and let go; each once.

    What was let go and is a part of one that is held is not listed.
    """
    done: set[int] = set()
    listed = []
    for name, value in held(names, seen):
        if isinstance(value, seen.keras.Model) and id(value) not in done:
            done.add(id(value))
            listed.append(found(f"{target.where}:{name}", value, seen))
    taken = {each.target for each in listed}
    done |= {id(part) for each in listed for part in _parts(each.model)}
    held_weights = [set(_weights(each.model)) for each in listed]
    for made in list(seen.made.values()):
        weights = set(_weights(made.model))
        if id(made.model) in done or not (weights or getattr(made.model, "_layers", None)):
            continue
        if weights and any(weights <= whole for whole in held_weights):
            continue
        text = f"{target.where}:{_local_name(made, seen.log)}"
        if text not in taken:
            taken.add(text)
            listed.append(found(text, made.model, seen))
    return listed


def _local_name(made: Made, log: Log) -> str:
    """``main.model`` for a local variable, else the line that makes the model."""
    for frame, _ in made.frames:
        for name, value in frame.f_locals.items():
            if name == "self" or name.startswith("__"):
                continue
            if value is not made.model:
                parts = vars(value).items() if hasattr(value, "__dict__") else ()
                part = next((key for key, item in parts if item is made.model), "_")
                if part.startswith("_") or isinstance(value, ModuleType):
                    continue
                name = f"{name}.{part}"
            function = frame.f_code.co_qualname.replace(".<locals>", "")
            return name if function == "<module>" else f"{function}.{name}"
    return str(made.frames[0][1])


def held(names: Mapping[str, Any], seen: Seen | None = None) -> Iterator[tuple[str, Any]]:
    """Variables, the items of lists, tuples and dicts, and the attributes of the script's own
    objects and models, each as one would write it."""
    containers = []
    for name, value in list(names.items()):
        if name.startswith("__"):
            continue
        yield name, value
        if isinstance(value, (list, tuple, dict)):
            containers.append((name, value))
        elif seen is not None and _holds_models(value, names, seen):
            yield from _attributes(name, value)
    for name, value in containers:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(key, (str, int)):
                yield f"{name}[{key!r}]", item


def _holds_models(value: Any, names: Mapping[str, Any], seen: Seen) -> bool:
    """Whether a value is of a class of the script's own, and no model with a call of its own."""
    if type(value).__module__ != names.get("__name__"):
        return False
    return not isinstance(value, seen.keras.Model) or not leads(value, seen)


def _attributes(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    for attribute, part in list(getattr(value, "__dict__", {}).items()):
        if not attribute.startswith("_"):
            yield f"{name}.{attribute}", part


def ranked(
    target: Target, candidates: list[Found], everything: bool, seen: Seen
) -> tuple[Found, ...]:
    """Largest first; what another model contains, or what only holds others, never leads."""
    weights = {id(each): set(_weights(each.model)) for each in candidates}
    last = {id(each): _reached(each, seen) for each in candidates}

    def contained(inner: Found) -> bool:
        return any(
            inner is not other
            and leads(other.model, seen)
            and (
                _inside(inner.model, other.model)
                or weights[id(inner)] < weights[id(other)]
                or (  # such as a backbone that is cut at an inner layer
                    not weights[id(inner)].isdisjoint(weights[id(other)])
                    and last[id(other)]
                    and not last[id(inner)]
                )
            )
            for other in candidates
        )

    def order(each: Found) -> tuple[int, int]:
        return -each.params, -last[id(each)]

    def whole_first(each: Found) -> tuple[int, int, int]:
        return -each.params, -len(_parts(each.model)), -last[id(each)]

    outer = sorted((c for c in candidates if leads(c.model, seen) and not contained(c)), key=order)
    if not everything and len(outer) > 1 and outer[0].params == outer[1].params:
        _tell_apart(target, outer, last, bool(seen.guard.trained or seen.log.said()))
    rest = sorted((c for c in candidates if not any(c is o for o in outer)), key=whole_first)
    return (*outer, *rest)


def _reached(each: Found, seen: Seen) -> int:
    made = seen.made.get(id(each.model))
    return made.reached if made else 0


def _tell_apart(target: Target, outer: list[Found], last: Mapping[int, int], works: bool) -> None:
    """Two models of one size: the one that is used last, or made first, leads in a script that
    works with models or data; in a file of models they have to be told apart."""
    first, second = outer[:2]
    if last[id(first)] > last[id(second)] or works:
        return
    if _weights(first.model).keys() == _weights(second.model).keys() != set():
        return
    raise InputError(
        target.where,
        f"two models of {first.params:,} parameters, and neither contains the other",
        f"Choose one: {first.target} or {second.target} (or --all).",
    )


def leads(model: Any, seen: Seen) -> bool:
    """Whether a model computes something itself, and does not only hold models that do."""
    return not seen.is_own(model) or type(model).call is not seen.keras.Model.call


def _inside(inner: Any, outer: Any) -> bool:
    return any(part is inner for part in _parts(outer))


def _parts(model: Any) -> list[Any]:
    """All layers and models inside a model."""
    flatten = getattr(model, "_flatten_layers", None)
    try:
        return list(flatten(include_self=False)) if flatten is not None else []
    except Exception:  # a property of the user's own
        return []


def sizes_of_data(each: Found) -> list[tuple[int, ...]] | None:
    """The shapes, without the batch, that the script's data give a model that leaves some open.

    None where the model leaves none open, or the data are not known.
    """
    symbols = getattr(each.model, "inputs", None) or []
    if each.inputs is None or all(None not in symbol.shape[1:] for symbol in symbols):
        return None
    leaves = each.inputs
    if isinstance(leaves, dict):
        leaves = [leaves.get(symbol.name) for symbol in symbols]
    leaves = leaves if isinstance(leaves, list) else [leaves]
    sizes = [
        _fitting(leaf, symbol.shape[1:]) for leaf, symbol in zip(leaves, symbols, strict=False)
    ]
    known = [size for size in sizes if size is not None]
    return known if len(known) == len(symbols) == len(leaves) else None


def _fitting(leaf: Any, declared: Any) -> tuple[int, ...] | None:
    """The shape of data without its batch, where it is known and fits what is declared."""
    if not isinstance(leaf, Leaf):
        return None
    shape = leaf[0][1:]
    fits = len(shape) == len(declared) and all(
        n is not None and m in (None, n) for n, m in zip(shape, declared, strict=True)
    )
    return shape if fits else None
