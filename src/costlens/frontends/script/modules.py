"""Packages that are not installed, and those that only show or log: stood in for."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from costlens.frontends.script.guard import Guard
from costlens.frontends.script.log import Log
from costlens.frontends.script.patches import Patches
from costlens.frontends.script.standin import StandIn

SHOWN = frozenset(
    "matplotlib seaborn plotly bokeh wandb mlflow neptune comet_ml clearml tensorboard pydot "
    "graphviz IPython ipywidgets google gradio streamlit visualkeras livelossplot".split()
)
"""Packages that only show, log or draw: no model depends on them, here or not."""


class StandInModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module of any name that the user's own code imports and that is not here."""

    def __init__(self, guard: Guard, log: Log) -> None:
        self.guard, self.log = guard, log
        self.made: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        top = name.partition(".")[0]
        parent = sys.modules.get(name.rpartition(".")[0])
        stood_in = top in SHOWN or hasattr(parent, "__stand_in__")
        ours = top in ("costlens", "keras", "tensorflow")
        if not stood_in and (ours or not self._wanted(name)):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def _wanted(self, name: str) -> bool:
        """Whether the user's own code imports it, and would not go on without it itself."""
        if self.guard.expects(ModuleNotFoundError(name=name)):
            return False
        frame = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if file in self.log.files:
                return True
            if "importlib" not in file and file != __file__:
                return False
            frame = frame.f_back  # type: ignore[assignment]
        return False

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        name, top = spec.name, spec.name.partition(".")[0]
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__["__stand_in__"] = True
        known = _KNOWN.get(name, {})
        module.__dict__.update(known)
        what = f"{top}, which is not installed" if top not in SHOWN else top
        module.__dict__["__getattr__"] = _attribute(name, what)
        self.made.append(name)
        if top not in SHOWN and top not in _HARMLESS and top not in self.log.absent:
            self.log.absent[top] = None
            self.log.say(f"{top} is not installed, and is stood in for")
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _attribute(module: str, what: str) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        inner = sys.modules.get(f"{module}.{name}")
        return inner if inner is not None else StandIn(f"what {module}.{name} gives ({what})")

    return get


def stand_in_modules(guard: Guard, log: Log, patches: Patches) -> StandInModules:
    """Find missing modules from now on; those that only show are hidden where they are here."""
    finder = StandInModules(guard, log)
    shown = _Shown(finder)
    hidden = [name for name in sys.modules if name.partition(".")[0] in SHOWN - {"google"}]
    for name in hidden:
        patches.item(sys.modules, name, sys.modules[name])
        del sys.modules[name]
    patches.set(sys, "meta_path", [shown, *sys.meta_path, finder])
    return finder


def forget(finder: StandInModules) -> None:
    """Take the stand-ins out of Python's table of modules."""
    for name in finder.made:
        if hasattr(sys.modules.get(name), "__stand_in__"):
            del sys.modules[name]


class _Shown(importlib.abc.MetaPathFinder):
    """Goes before all finders, for the packages that only show."""

    def __init__(self, finder: StandInModules) -> None:
        self.finder = finder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        top = name.partition(".")[0]
        if top not in SHOWN or (top == "google" and not name.startswith("google.colab")):
            return None
        return self.finder.find_spec(name, path, target) if self.finder._wanted(name) else None


_HARMLESS = frozenset(("tqdm", "termcolor", "colorama", "rich", "prettytable", "tabulate", "pytz"))


def _split(*arrays: Any, **options: Any) -> list[Any]:
    """Each array twice: as the part to train on, and the part to test on."""
    return [part for array in arrays for part in (array, array)]


def _iterated(iterable: Any = None, *args: Any, **kwargs: Any) -> Any:
    return StandIn("a progress bar") if iterable is None else iterable


def _ranged(*args: int, **kwargs: Any) -> Iterable[int]:
    return range(*args)


class _Same:
    """An encoder or scaler that gives back what it is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def fit(self, *args: Any, **kwargs: Any) -> _Same:
        return self

    def transform(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        return data

    fit_transform = inverse_transform = transform

    def __getattr__(self, name: str) -> Any:
        return StandIn(f"{type(self).__name__}.{name}")


class _OneHot(_Same):
    """An encoder to one column per class."""

    def transform(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(data, StandIn):
            return data
        values = np.unique(np.asarray(data))
        return (np.asarray(data).reshape(-1, 1) == values).astype("float32")

    fit_transform = transform


_PREPROCESSING = dict.fromkeys(
    "StandardScaler MinMaxScaler RobustScaler MaxAbsScaler Normalizer LabelEncoder "
    "OrdinalEncoder".split(),
    _Same,
)
_KNOWN: dict[str, dict[str, Any]] = {
    "sklearn.model_selection": {"train_test_split": _split},
    "sklearn.preprocessing": {
        **_PREPROCESSING,
        "LabelBinarizer": _OneHot,
        "OneHotEncoder": _OneHot,
    },
    **{
        name: {"tqdm": _iterated, "trange": _ranged, "tqdm_notebook": _iterated}
        for name in ("tqdm", "tqdm.auto", "tqdm.notebook", "tqdm.keras", "tqdm.rich")
    },
}
