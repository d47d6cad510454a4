"""Run a model file abstractly and find the models that it makes."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.abstract import abstract_keras
from costlens.frontends.sizes import InputShape, only_shape
from costlens.frontends.target import Target, resolve


@dataclass(frozen=True, slots=True)
class Found:
    """A model, the TARGET that names it, and its parameters."""

    target: str
    model: Any
    params: int


def load(
    target: Target, input_shape: InputShape = None, everything: bool = False
) -> tuple[Found, ...]:
    """The models of a target, the main one first; one where the target names one.

    The main model is the largest that no other contains. Raises InputError where there is no
    model, the name is missing or is no model, or two candidates for the main model are equal in
    size (unless ``everything`` is wanted).
    """
    with abstract_keras() as keras, _output_aside(), _importable(target), _no_arguments():
        names = _names(target)
        if target.attribute is not None:
            return (_named(keras, target, names, input_shape),)
        found = _models(keras, target, names)
        found = found or _made_by_factories(keras, target, names, input_shape)
        if not found and target.path is not None and _has_main(target.path):
            names = _execute(target, target.path, "__main__")
            found = _models(keras, target, names)
        if not found:
            what = "none of its variables holds a Keras model"
            raise InputError(target.where, what, _offer(keras, target, names))
        return _ranked(target, found, everything)


@contextmanager
def _output_aside() -> Iterator[None]:
    """What a script prints, and what the programs print that it starts, goes to standard error."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        with suppress(OSError):  # one of the two is closed
            kept = os.dup(1)
            stack.callback(os.close, kept)
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
        yield


@contextmanager
def _no_arguments() -> Iterator[None]:
    """A script that asks for command-line arguments says so in one line."""

    def refuse(parser: argparse.ArgumentParser, message: str) -> None:
        fix = "Put the model in a function and name it after a colon."
        raise InputError("", f"the script wants command-line arguments: {message}", fix)

    original = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = refuse  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        argparse.ArgumentParser.error = original  # type: ignore[method-assign]


@contextmanager
def _importable(target: Target) -> Iterator[None]:
    """The script runs with no arguments, its folder (or the working directory) importable."""
    folder = str(target.path.resolve().parent) if target.path else str(Path.cwd())
    arguments, sys.argv = sys.argv, [str(target.path or target.module)]
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv = arguments
        if folder in sys.path:
            sys.path.remove(folder)


def _names(target: Target) -> Mapping[str, Any]:
    if target.path is None:
        with _blamed(target):
            try:
                return vars(importlib.import_module(str(target.module)))
            except ModuleNotFoundError as error:
                if not f"{target.module}.".startswith(f"{error.name}."):
                    raise
                fix = "Check the name, and that it is installed."
                raise InputError("", str(error), fix) from error
    return _execute(target, target.path)


def _has_main(path: Path) -> bool:
    """Whether a script does some of its work only when it is run as a program."""
    return b"__main__" in path.read_bytes()


def _execute(target: Target, path: Path, name: str = "__costlens__") -> Mapping[str, Any]:
    try:
        source = path.read_bytes()
        code = compile(source, str(path), "exec")
    except OSError as error:
        raise InputError(str(path), str(error.strerror), "Check the file.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        message = getattr(error, "msg", None) or str(error)
        raise InputError(where, f"{type(error).__name__}: {message}", "Fix the script.") from error
    module = types.ModuleType(name)
    module.__file__ = str(path)
    outer = sys.modules.get(name)
    sys.modules[name] = module
    try:
        with _blamed(target):
            exec(code, module.__dict__)
    finally:
        sys.modules.pop(name, None)
        if outer is not None:
            sys.modules[name] = outer
    return module.__dict__


@contextmanager
def _blamed(target: Target) -> Iterator[None]:
    """Whatever the user's code raises becomes an InputError with its own line."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too
        raise _raised(error, target) from error


def _raised(error: BaseException, target: Target) -> CostlensError:
    where = target.where
    files: tuple[str, ...] = (str(target.path),)
    if target.module is not None:
        base = target.module.replace(".", os.sep)
        files = (f"{os.sep}{base}.py", os.path.join(os.sep + base, "__init__.py"))
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.endswith(files):
            where = f"{target.path or frame.filename}:{frame.lineno}"
    if isinstance(error, CostlensError):
        return InputError(where, error.what, error.fix)
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    fix = "The script has to run up to where its model is built." if target.path else ""
    return InputError(where, what, fix)


def _named(keras: Any, target: Target, names: Mapping[str, Any], input_shape: InputShape) -> Found:
    try:
        value = resolve(str(target.attribute), names)
    except (LookupError, AttributeError, TypeError) as error:
        offers = _offer(keras, target, names)
        raise InputError(target.where, f"it has no {target.attribute}", offers) from error
    if isinstance(value, keras.Model):
        if target.called:
            raise InputError(target.text, "a model is not called", f"Write {target.attribute}.")
        return _found(target.text, value)
    if not callable(value) or isinstance(value, keras.layers.Layer):
        kind = type(value).__name__
        offers = _offer(keras, target, names)
        raise InputError(target.text, f"it is {_article(kind)}, no model", offers)
    made = _call(target, value, target.args, target.kwargs, input_shape)
    if not isinstance(made, keras.Model):
        kind = type(made).__name__
        offers = _offer(keras, target, names)
        raise InputError(target.text, f"it gives {_article(kind)}, no model", offers)
    return _found(target.text, made)


def _article(kind: str) -> str:
    return "None" if kind == "NoneType" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _call(
    target: Target,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    input_shape: InputShape,
) -> Any:
    filled = dict(kwargs)
    parameters = _parameters(function)
    shape = only_shape(input_shape)
    if shape is not None and "input_shape" in parameters:
        filled.setdefault("input_shape", shape)
    if getattr(function, "__module__", "").startswith("keras.src.applications"):
        filled.setdefault("weights", None)
    try:
        inspect.signature(function).bind(*args, **filled)
    except TypeError as error:
        needs = ", ".join(f"{name}=…" for name in parameters)
        fix = f"Write {str(target.text).partition('(')[0]}({needs})."
        raise InputError(target.text, str(error), fix) from error
    except ValueError:
        pass  # a callable without a signature
    with _blamed(target):
        return function(*args, **filled)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _found(target: str, model: Any) -> Found:
    return Found(target, model, sum(_size(weight) for weight in _weights(model).values()))


def _weights(model: Any) -> dict[int, Any]:
    return {id(weight): weight for weight in model.weights}


def _size(weight: Any) -> int:
    total = 1
    for n in weight.shape:
        total *= n
    return total


def _models(keras: Any, target: Target, names: Mapping[str, Any]) -> list[Found]:
    """The models that the script's variables hold, alone or in a list or dict; each once."""
    seen: set[int] = set()
    found = []
    for name, value in _held(names):
        if isinstance(value, keras.Model) and id(value) not in seen:
            seen.add(id(value))
            found.append(_found(f"{target.text}:{name}", value))
    return found


def _held(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Variables and the items of those that are lists, tuples or dicts, as one would write them."""
    containers = []
    for name, value in list(names.items()):
        yield name, value
        if isinstance(value, (list, tuple, dict)) and not name.startswith("__"):
            containers.append((name, value))
    for name, value in containers:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(key, (str, int)):
                yield f"{name}[{key!r}]", item


def _made_by_factories(
    keras: Any, target: Target, names: Mapping[str, Any], input_shape: InputShape
) -> list[Found]:
    """What the script's own functions without required arguments make."""
    found, failures = [], []
    for name, function in _factories(names):
        if _required(function):
            continue
        try:
            made = _call(target, function, (), {}, input_shape)
        except CostlensError as error:  # it may load data, and another may make the model
            failures.append(error)
            continue
        if isinstance(made, keras.Model):
            found.append(_found(f"{target.text}:{name}", made))
    if failures and not found:
        raise failures[0]
    return found


def _factories(names: Mapping[str, Any]) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, value)
        for name, value in list(names.items())
        if inspect.isfunction(value)
        and value.__module__ == names.get("__name__")
        and not name.startswith("_")
        and name != "main"
    ]


def _required(function: Callable[..., Any]) -> list[str]:
    empty = inspect.Parameter.empty
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        name
        for name, parameter in _parameters(function).items()
        if parameter.default is empty and parameter.kind not in variadic
    ]


def _offer(keras: Any, target: Target, names: Mapping[str, Any]) -> str:
    """What could be typed instead: names that look alike, models, functions of the script."""
    asked = str(target.attribute or "")
    models = [name for name, value in _held(names) if isinstance(value, keras.Model)]
    made_here = [name for name, _ in _factories(names)]
    offers = models + made_here
    public = made_here if target.path else [name for name, f in names.items() if callable(f)]
    alike = get_close_matches(asked, sorted({name for name in public if name[:1] != "_"}), 3)
    needs = {name: ", ".join(f"{n}=…" for n in _required(f)) for name, f in _factories(names)}
    shown = [
        f"{target.where}:{name}({needs[name]})" if needs.get(name) else f"{target.where}:{name}"
        for name in dict.fromkeys((*alike, *offers))
        if name != asked
    ]
    if not shown:
        return "Name a Functional or Sequential model, or a function that returns one."
    return f"Try: {', '.join(shown[:5])}."


def _ranked(target: Target, found: list[Found], everything: bool) -> tuple[Found, ...]:
    """Largest first; what another model contains never leads."""
    weights = {id(f): set(_weights(f.model)) for f in found}

    def contained(inner: Found) -> bool:
        return any(
            inner is not other
            and (_inside(inner.model, other.model) or weights[id(inner)] < weights[id(other)])
            for other in found
        )

    outer = sorted((f for f in found if not contained(f)), key=lambda f: -f.params)
    if not everything and len(outer) > 1 and outer[0].params == outer[1].params:
        raise InputError(
            target.where,
            f"two models of {outer[0].params:,} parameters, and neither contains the other",
            f"Choose one: {outer[0].target} or {outer[1].target} (or --all).",
        )
    rest = [f for f in found if f not in outer]
    return (*outer, *sorted(rest, key=lambda f: -f.params))


def _inside(inner: Any, outer: Any) -> bool:
    flatten = getattr(outer, "_flatten_layers", None)
    return flatten is not None and any(layer is inner for layer in flatten(include_self=False))
