"""What a TARGET names in a script: a model, a function or class that makes one; what to offer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.script.execute import blamed, failure
from costlens.frontends.script.log import Log
from costlens.frontends.script.models import Found, Seen, found, held
from costlens.frontends.sizes import InputShape, only_shape
from costlens.frontends.target import Target, resolve


@dataclass(frozen=True)
class Scene:
    """A script that has run: its target, the names in it, what was seen of its models."""

    target: Target
    names: Mapping[str, Any]
    seen: Seen
    input_shape: InputShape

    @property
    def keras(self) -> Any:
        return self.seen.keras

    @property
    def log(self) -> Log:
        return self.seen.log


def named(scene: Scene, listed: Sequence[Found]) -> Found:
    """The model that the target names, or makes.

    Raises InputError where the name is missing, is no model and makes none.
    """
    target = scene.target
    text = f"{target.where}:{target.attribute}"
    line = int(str(target.attribute)) if str(target.attribute).isdigit() else None
    for each in sorted(listed, key=lambda each: -each.params):
        if (each.target == text and not target.called) or (line and each.line == line):
            return Found(target.text, each.model, each.params, each.line, each.inputs)
    try:
        value = resolve(str(target.attribute), scene.names)
    except (LookupError, AttributeError, TypeError) as error:
        what = f"no model is made in line {line}" if line else f"it has no {target.attribute}"
        raise InputError(target.where, what, offer(scene, listed) + skipped(scene)) from error
    if isinstance(value, scene.keras.Model):
        if target.called:
            raise InputError(target.text, "a model is not called", f"Write {target.attribute}.")
        return found(target.text, value, scene.seen)
    if not callable(value) or isinstance(value, scene.keras.layers.Layer):
        raise InputError(target.text, f"it is {_article(value)}, no model", offer(scene, listed))
    made = _call(scene, value, target.args, target.kwargs)
    if not isinstance(made, scene.keras.Model):
        raise InputError(target.text, f"it gives {_article(made)}, no model", offer(scene, listed))
    return found(target.text, made, scene.seen)


def skipped(scene: Scene) -> str:
    """The first line that was skipped, or what is not installed, for the end of a message."""
    for where, error in scene.seen.guard.failed:
        said = failure(error, where, False)
        return f" Skipped before: {said.where}: {said.what}."
    absent = ", ".join(scene.log.absent)
    return f" Not installed: {absent}." if absent else ""


def is_there(scene: Scene, listed: Sequence[Found]) -> bool:
    """Whether the script has what the target names."""
    text = f"{scene.target.where}:{scene.target.attribute}"
    if any(text in (each.target, f"{scene.target.where}:{each.line}") for each in listed):
        return True
    try:
        resolve(str(scene.target.attribute), scene.names)
    except (LookupError, AttributeError, TypeError):
        return False
    return True


def made_by_factories(scene: Scene) -> list[Found]:
    """What the script's own functions without required arguments make."""
    listed, failures = [], []
    for name, function in _factories(scene.names):
        if required(function):
            continue
        try:
            made = _call(scene, function, (), {})
        except CostlensError as error:  # it may load data, and another may make the model
            failures.append(error)
            continue
        if isinstance(made, scene.keras.Model):
            listed.append(found(f"{scene.target.where}:{name}", made, scene.seen))
    if failures and not listed:
        raise failures[0]
    return listed


def _article(value: Any) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _call(
    scene: Scene, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    filled = dict(kwargs)
    parameters = _parameters(function)
    shape = only_shape(scene.input_shape)
    if shape is not None and "input_shape" in parameters:
        filled.setdefault("input_shape", shape)
    if getattr(function, "__module__", "").startswith("keras.src.applications"):
        filled.setdefault("weights", None)
    try:
        inspect.signature(function).bind(*args, **filled)
    except TypeError as error:
        needs = ", ".join(f"{name}=…" for name in parameters)
        fix = f"Write {str(scene.target.text).partition('(')[0]}({needs})."
        raise InputError(scene.target.text, str(error), fix) from error
    except ValueError:
        pass  # a callable without a signature
    failed = len(scene.seen.guard.failed)
    with blamed(scene.target, scene.log):
        made = function(*args, **filled)
    if not isinstance(made, scene.keras.Model) and len(scene.seen.guard.failed) > failed:
        where, cause = scene.seen.guard.failed[failed]
        raise failure(cause, where)
    return made


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _factories(names: Mapping[str, Any]) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, value)
        for name, value in list(names.items())
        if inspect.isfunction(value)
        and value.__module__ == names.get("__name__")
        and not name.startswith("_")
        and name != "main"
    ]


def required(function: Callable[..., Any]) -> list[str]:
    """The arguments that a callable cannot do without."""
    empty = inspect.Parameter.empty
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        name
        for name, parameter in _parameters(function).items()
        if parameter.default is empty and parameter.kind not in variadic
    ]


def offer(scene: Scene, listed: Sequence[Found] = ()) -> str:
    """What could be typed instead: names that look alike, models, functions of the script."""
    target, names = scene.target, scene.names
    made = [each.target.removeprefix(f"{target.where}:") for each in listed]
    asked = str(target.attribute or "")
    variables = [n for n, value in held(names) if isinstance(value, scene.keras.Model)]
    factories = _factories(names)
    made_here = [name for name, _ in factories]
    classes = [name for name, value in names.items() if _is_model_class(scene, value)]
    public = made_here if target.path else [name for name, f in names.items() if callable(f)]
    alike = get_close_matches(asked, sorted({name for name in public if name[:1] != "_"}), 3)
    needs = {name: ", ".join(f"{n}=…" for n in required(f)) for name, f in factories}
    needs |= {name: ", ".join(f"{n}=…" for n in required(names[name])) for name in classes}
    shown = [
        f"{target.where}:{name}({needs[name]})" if needs.get(name) else f"{target.where}:{name}"
        for name in dict.fromkeys((*alike, *made, *variables, *classes, *made_here))
        if name != asked
    ]
    if not shown:
        return "Name a Functional or Sequential model, or a function that returns one."
    return f"Try: {', '.join(shown[:5])}."


def _is_model_class(scene: Scene, value: Any) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, scene.keras.Model)
        and value.__module__ == scene.names.get("__name__")
    )
