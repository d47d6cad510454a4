"""A saved model with layers of the user's → Graph: Keras loads it, without weights.

Only files that the user names with ``--import`` are run, and nothing in the saved file is.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends import keras_file, keras_live
from costlens.frontends.abstract import abstract_keras
from costlens.frontends.keras2 import is_keras_2
from costlens.frontends.keras_live import Graphs
from costlens.frontends.saved import Saved
from costlens.frontends.sizes import Wanted


def read(saved: Saved, wanted: Wanted) -> Graphs:
    """The graphs of a model that Keras loads with the classes of the files in ``wanted.imports``.

    Where Keras cannot load it, a class of the user's being absent still, it is read without,
    and a note says so. Raises InputError where a file cannot be run or has no class of the model,
    and where a traced graph is wanted and Keras cannot load the model.
    """
    used = set(_classes(saved.config))
    with abstract_keras() as keras, redirect_stdout(sys.stderr):
        found = {name: value for each in wanted.imports for name, value in _run(each).items()}
        if wanted.imports and found.keys().isdisjoint(used):
            fix = f"They have {', '.join(sorted(found)) or 'none'}."
            raise InputError("--import", f"no class of {saved.where} is in the files", fix)
        if not used.isdisjoint(("Lambda", "__lambda__")):
            why = "it holds a function, which is never run"
        else:
            try:
                model = _loaded(keras, saved.config, dict(found))
                graphs = keras_live.read(model, wanted)
                return replace(graphs, graph=keras_file.compared(graphs.graph, saved))
            except CostlensError:
                raise
            except Exception as error:  # what Keras, or the user's class, makes of the file
                why = " ".join(str(error).split())[:200]
    if wanted.verify or wanted.training:
        fix = "Pass --import with the file of its own layers."
        raise InputError(saved.where, f"Keras cannot load it to trace it: {why}", fix)
    graph = keras_file.read_graph(saved, wanted.batch, wanted.input_shape, wanted.dims)
    return Graphs(replace(graph, notes=(*graph.notes, f"Keras did not load the file: {why}.")))


def _loaded(keras: Any, config: Mapping[str, Any], classes: dict[str, Any]) -> Any:
    """The model of a configuration; those of HDF5 files and of Keras 2 name no modules."""
    if "module" in config and not is_keras_2(config):
        return keras.models.model_from_json(json.dumps(config), classes)
    legacy = importlib.import_module("keras.src.legacy.saving.saving_utils")
    return legacy.model_from_config(dict(config), classes)


def _classes(config: Any) -> Iterator[str]:
    """The names of all classes in a configuration."""
    todo = [config]
    while todo:
        match todo.pop():
            case Mapping() as item:
                if isinstance(name := item.get("class_name"), str):
                    yield name
                todo += item.values()
            case list() as item:
                todo += item


def _run(file: str) -> Mapping[str, Any]:
    """The classes and functions of a file of the user's, which is run, by name."""
    path = Path(file)
    if not path.exists():
        raise InputError(f"--import {file}", "no such file", "Check the path.")
    if path.suffix != ".py" or not path.is_file():
        raise InputError("--import", f"{file} is no Python file", "Pass the .py of your layers.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # where dataclasses look
    with _importable(path):
        try:
            spec.loader.exec_module(module)
        except CostlensError:
            raise
        except (Exception, SystemExit) as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(file, f"fails: {what}", "Run it with Python to see where.") from error
    return {
        name: value
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


@contextmanager
def _importable(path: Path) -> Iterator[None]:
    """Files beside it can be imported meanwhile."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
