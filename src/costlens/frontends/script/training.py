"""Training, predicting, saving: nothing happens, and what comes back has the right form."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from costlens.frontends.script.guard import Guard
from costlens.frontends.script.models import Seen
from costlens.frontends.script.patches import Patches
from costlens.frontends.script.sample import Sample
from costlens.frontends.script.standin import StandIn, holds, unpacked
from costlens.frontends.script.symbolic import is_data, leaf_spec, made_of, on_data, specs

_MOST_ROWS = 256
_LARGEST = 2**24  # elements of a prediction that is really made


def stand_in(keras: Any, guard: Guard, seen: Seen, patches: Patches) -> None:
    """Replace what trains, runs or stores a model."""
    model = keras.Model
    saved: dict[str, Any] = {}
    for name in ("fit", "fit_generator"):
        patches.set(model, name, _fit(keras, guard, seen, saved))
    for name in ("evaluate", "evaluate_generator", "train_on_batch", "test_on_batch"):
        patches.set(model, name, _scores(keras, guard, seen))
    for name in ("predict", "predict_generator", "predict_on_batch"):
        patches.set(model, name, _predict(keras, guard, seen))
    for name in ("load_weights", "save_weights", "export"):
        patches.set(model, name, _nothing)
    patches.set(model, "save", _saving(saved))
    patches.set(model, "compile", _compile(guard, model.compile))
    patches.set(model, "summary", _summary(guard, seen, model.summary))
    patches.set(model, "build", _build(keras, seen, model.build))
    patches.set(keras.layers.Layer, "__call__", _called(keras, guard, seen))
    patches.set(keras.layers.Layer, "set_weights", _nothing)
    patches.set(keras.layers.Layer, "get_weights", _zero_weights)
    _optimizers(keras, patches)
    _models(keras, saved, patches)
    guard.prepare((b"tensorflow",), lambda: _tensorflow(keras, patches))


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands in for what would use values that do not exist."""


class _Metrics(dict[str, list[float]]):
    """A history that has every metric."""

    def __missing__(self, key: str) -> list[float]:
        return [0.0]


def _fit(keras: Any, guard: Guard, seen: Seen, saved: dict[str, Any]) -> Callable[..., Any]:
    def fit(self: Any, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        guard.trained += 1
        _used(keras, guard, seen, self, x)
        history = keras.callbacks.History()
        for callback in kwargs.get("callbacks") or ():
            if hasattr(callback, "filepath"):
                saved[str(callback.filepath)] = self
        names = ["loss", *_metric_names(self)]
        both = [*names, *(f"val_{name}" for name in names)]
        history.history = _Metrics({name: [0.0] for name in both})
        history.epoch, history.params = [0], {}
        history.set_model(self)
        return history

    return fit


def _scores(keras: Any, guard: Guard, seen: Seen) -> Callable[..., Any]:
    def scores(self: Any, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        guard.trained += 1
        _used(keras, guard, seen, self, x)
        names = ["loss", *_metric_names(self)]
        if kwargs.get("return_dict"):
            return dict.fromkeys(names, 0.0)
        return [0.0] * len(names) if len(names) > 1 else _Score()

    return scores


class _Score(float):
    """A loss, or as many scores as are asked of it."""

    def __getitem__(self, index: int) -> float:
        return 0.0

    def __iter__(self) -> Iterator[float]:
        return iter([0.0] * (unpacked(sys._getframe(1)) or 2))


def _metric_names(model: Any) -> list[str]:
    given = getattr(model, "_given_metrics", None)
    flat: list[Any] = []

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            for item in part.values():
                walk(item)
        elif isinstance(part, (list, tuple)):
            for item in part:
                walk(item)
        elif part is not None:
            flat.append(part)

    walk(given)
    return [m if isinstance(m, str) else str(getattr(m, "name", "metric")) for m in flat]


def _compile(guard: Guard, original: Callable[..., Any]) -> Callable[..., Any]:
    def compile(self: Any, *args: Any, **kwargs: Any) -> None:
        self._given_metrics = kwargs.get("metrics") or (args[2] if len(args) > 2 else None)
        try:
            original(self, *args, **kwargs)
        except Exception as error:  # such as a loss by a name that is gone: no part of the model
            if guard.expects(error):
                raise

    return compile


def _summary(guard: Guard, seen: Seen, original: Callable[..., Any]) -> Callable[..., Any]:
    def summary(self: Any, *args: Any, **kwargs: Any) -> None:
        seen.reached(self)
        try:
            original(self, *args, **kwargs)
        except Exception as error:
            if guard.expects(error):
                raise

    return summary


def _predict(keras: Any, guard: Guard, seen: Seen) -> Callable[..., Any]:
    def predict(self: Any, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        guard.trained += 1
        return _used(keras, guard, seen, self, x, outputs=True)

    return predict


def _used(
    keras: Any, guard: Guard, seen: Seen, model: Any, data: Any, outputs: bool = False
) -> Any:
    """Remember that a model was given data; build it, and give its outputs, where that works."""
    inputs = specs(keras, data, batched=True)
    seen.reached(model, inputs)
    if inputs is None or not (outputs or seen.unbuilt(model)):
        return StandIn(f"what {model.name} predicts")
    try:
        made = on_data(keras, seen, model, inputs)
        count = min(len(data), _MOST_ROWS) if hasattr(data, "__len__") else 1
        return made_of(
            made, lambda shape, dtype: _zeros((shape[0] or count, *shape[1:]), dtype, True)
        )
    except Exception as error:
        if outputs and guard.expects(error):
            raise
        return StandIn(f"what {model.name} predicts")


def _zeros(shape: Any, dtype: str, as_array: bool) -> Any:
    sizes = tuple(int(n or 1) for n in shape)
    if as_array:
        kind = dtype if dtype != "bfloat16" else "float32"
        if int(np.prod(sizes, dtype=object)) > _LARGEST:
            return np.broadcast_to(np.zeros((), kind), sizes)
        return np.zeros(sizes, kind).view(Sample)
    ops = importlib.import_module("keras").ops
    if int(np.prod(sizes, dtype=object)) > _LARGEST:
        raise ValueError("a result too large to stand in for")
    return ops.zeros(sizes, dtype)


def _build(keras: Any, seen: Seen, original: Callable[..., Any]) -> Callable[..., Any]:
    """``model.build(shape)``: as Keras does it, and as a call where that leaves it unbuilt."""

    def build(self: Any, input_shape: Any = None, *args: Any, **kwargs: Any) -> Any:
        if seen.over or seen.calling or not seen.is_own(self) or input_shape is None:
            return original(self, input_shape, *args, **kwargs)
        inputs = _shapes(input_shape)
        seen.given(self, inputs)
        try:
            on_data(keras, seen, self, inputs)
        except Exception:
            original(self, input_shape, *args, **kwargs)
        return None

    # Keras wraps the method of a model when it makes the model, and asks whether it is its own
    build._is_default = getattr(original, "_is_default", False)  # type: ignore[attr-defined]
    return build


def _shapes(shape: Any) -> Any:
    """A tree of shapes → a tree of (shape, dtype)."""
    if isinstance(shape, dict):
        return {key: _shapes(item) for key, item in shape.items()}
    sizes = list(shape)
    if all(n is None or isinstance(n, (int, np.integer)) for n in sizes):
        return leaf_spec(tuple(None if n is None else int(n) for n in sizes), "float32")
    return [_shapes(item) for item in sizes]


def _called(keras: Any, guard: Guard, seen: Seen) -> Callable[..., Any]:
    """A layer or model called on data, outside of any other: its shape comes back, as zeros."""
    original = keras.layers.Layer.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if seen.calling or not is_data(keras, (args, kwargs)):
            seen.calling += 1
            try:
                return original(self, *args, **kwargs)
            finally:
                seen.calling -= 1
        if holds(args[:1] and args[0]):
            raise TypeError(f"{self.name} is called on a stand-in, which has no shape")
        guard.trained += isinstance(self, keras.Model)
        inputs = specs(keras, args[0] if args else None, batched=False)
        if isinstance(self, keras.Model):
            seen.reached(self, inputs, weakly=True)
        made = on_data(keras, seen, self, (args, kwargs), whole=True)
        return made_of(made, lambda shape, dtype: _zeros(shape, dtype, as_array=False))

    return call


def _zero_weights(self: Any) -> list[Any]:
    return [
        np.broadcast_to(np.zeros((), "float32"), tuple(weight.shape)) for weight in self.weights
    ]


def _optimizers(keras: Any, patches: Patches) -> None:
    optimizer = importlib.import_module("keras.src.optimizers.base_optimizer").BaseOptimizer
    for kind in {optimizer, keras.optimizers.Optimizer}:
        for name in ("apply_gradients", "apply", "build", "minimize", "load_own_variables"):
            patches.set(kind, name, _nothing)
    patches.set(keras.optimizers.Optimizer, "get_weights", lambda self: [])


def _tensorflow(keras: Any, patches: Patches) -> None:
    """Steps of the script's own, ``tf.function`` and ``GradientTape``: run as plain Python, for
    their form, on tensors that are zero."""
    if keras.backend.backend() != "tensorflow":
        return
    tf = importlib.import_module("tensorflow")
    original = tf.function

    def function(func: Any = None, *args: Any, **kwargs: Any) -> Any:
        if func is None:
            return lambda real: function(real, *args, **kwargs)
        traced = original(func, *args, **kwargs)

        @functools.wraps(func)
        def call(*given: Any, **named: Any) -> Any:
            return (func if tf.executing_eagerly() else traced)(*given, **named)

        vars(call)["get_concrete_function"] = lambda *a, **k: StandIn("a traced function")
        vars(call)["python_function"] = func
        return call

    def gradient(self: Any, target: Any, sources: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(sources, (list, tuple)):
            return [StandIn("a gradient") for _ in sources]
        return StandIn("a gradient")

    patches.set(tf, "function", function)
    patches.set(tf.GradientTape, "gradient", gradient)
    for name in ("MirroredStrategy", "MultiWorkerMirroredStrategy", "TPUStrategy"):
        for owner in (tf.distribute, tf.distribute.experimental):
            if hasattr(owner, name):
                patches.set(owner, name, _OneDevice)


class _OneDevice:
    """A distribution strategy over the one device that is not needed."""

    num_replicas_in_sync = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def scope(self) -> Any:
        return contextlib.nullcontext()

    def run(self, function: Any, args: Any = (), kwargs: Any = None, **options: Any) -> Any:
        return function(*args, **(kwargs or {}))

    def experimental_distribute_dataset(self, data: Any, *args: Any) -> Any:
        return data

    def reduce(self, operation: Any, value: Any, axis: Any = None) -> Any:
        return value

    def __getattr__(self, name: str) -> Any:
        return StandIn("a distribution strategy")


def _saving(saved: dict[str, Any]) -> Callable[..., None]:
    def save(self: Any, filepath: Any = "", *args: Any, **kwargs: Any) -> None:
        saved[str(filepath)] = self

    return save


def _models(keras: Any, saved: dict[str, Any], patches: Patches) -> None:
    """What reads and writes models as files, and draws them."""

    def load_model(filepath: Any = "", *args: Any, **kwargs: Any) -> Any:
        if str(filepath) in saved:
            return saved[str(filepath)]
        raise FileNotFoundError(f"the saved model {filepath} is not loaded")

    def save_model(model: Any, filepath: Any = "", *args: Any, **kwargs: Any) -> None:
        saved[str(filepath)] = model

    stand_ins = {"load_model": load_model, "save_model": save_model}
    for owner in (keras.models, keras.saving, *_named("models"), *_named("saving")):
        for name in ("load_model", "save_model", "load_weights", "save_weights"):
            if hasattr(owner, name):
                patches.set(owner, name, stand_ins.get(name, _nothing))
    drawn = importlib.import_module("keras.src.utils.model_visualization")
    for owner in (keras.utils, drawn, *_named("utils")):
        for name in ("plot_model", "model_to_dot"):
            patches.set(owner, name, _nothing)


def _named(part: str) -> list[Any]:
    """A module of Keras under the other names that it has been imported by."""
    names = (f"keras._tf_keras.keras.{part}", f"tensorflow.keras.{part}")
    return [sys.modules[name] for name in names if name in sys.modules]
