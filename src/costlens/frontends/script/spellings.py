"""Common Keras 1 and 2 spellings that Keras 3 rejects: taken for what they mean, and named."""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from costlens.frontends.script.log import Log
from costlens.frontends.script.patches import Patches
from costlens.frontends.script.standin import StandIn

_ROOTS = ("keras", "tensorflow.keras", "tensorflow.python.keras", "tensorflow.contrib.keras",
          "tensorflow.contrib.keras.python.keras", "keras.api", "tensorflow.keras.api",
          "keras_preprocessing")  # fmt: skip
_PLACES: Mapping[str, tuple[str, ...]] = {
    "layers": ("layers",),
    "engine": ("layers", "models", ""),
    "objectives": ("losses",),
    "optimizers": ("optimizers", "optimizers.schedules"),
    "optimizer_v2": ("optimizers", "optimizers.schedules"),
    "optimizer_v1": ("optimizers",),
    "preprocessing": ("preprocessing.image", "preprocessing.sequence", "preprocessing.text",
                      "utils"),
    "image": ("preprocessing.image", "utils"),
    "utils": ("utils", "saving"),
    "legacy": ("layers", "utils"),
    "saving": ("saving", "models", "utils"),
    "applications": ("applications",),
    "backend": ("backend",),
}  # fmt: skip
"""Where the names of a module that is gone may be, by the first part of its name."""

_LAYER_WORDS = {
    "output_dim": "units", "nb_filter": "filters", "filter_length": "kernel_size",
    "border_mode": "padding", "subsample": "strides", "subsample_length": "strides",
    "init": "kernel_initializer", "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation", "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer", "U_regularizer": "recurrent_regularizer",
    "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint", "bias": "use_bias",
    "p": "rate", "dropout_W": "dropout", "dropout_U": "recurrent_dropout",
    "atrous_rate": "dilation_rate", "pool_length": "pool_size", "stride": "strides",
    "gamma_init": "gamma_initializer", "beta_init": "beta_initializer", "sigma": "stddev",
}  # fmt: skip
_GONE = frozenset(
    "weights fused renorm renorm_momentum virtual_batch_size consume_less input_dtype mode "
    "implementation time_major unit_forget_bias_init dim_ordering W_learning_rate_multiplier "
    "experimental_run_tf_function adjustment".split()
)
"""Arguments of layers that are gone, and that change neither sizes nor computation."""
_OLD_LAYERS = (
    "Dense Conv1D Conv2D Conv3D Conv2DTranspose Conv3DTranspose SeparableConv2D LSTM GRU SimpleRNN "
    "Embedding Dropout SpatialDropout1D SpatialDropout2D GaussianNoise GaussianDropout "
    "MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D "
    "BatchNormalization"
).split()
_NAMES = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU", "Deconvolution2D": "Conv2DTranspose"}


def old_spellings(keras: Any, log: Log, patches: Patches) -> None:
    """Take old spellings for what they mean, and say at each how Keras 3 has it."""
    patches.set(sys, "meta_path", [*sys.meta_path, _OldModules(log)])
    _names_without_slash(keras, log, patches)
    _models(keras, log, patches)
    _optimizers(keras, log, patches)
    _layers(keras, log, patches)
    _attributes(keras, log, patches)
    _backend(keras, log, patches)
    _functions(keras, patches)
    _tensorflow_1(keras, log, patches)


class _OldModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``keras.layers.core`` and its like."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        rest = _below(name)
        last = name.rpartition(".")[2]
        if rest is None or not last.islower() or not next(self.log.frames(), None):
            return None
        if rest and rest.partition(".")[0] not in (*_PLACES, "wrappers", "regularizers", "metrics"):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        rest = _below(spec.name) or ""
        top = rest.partition(".")[0]
        module = types.ModuleType(spec.name)
        module.__path__ = []
        places = _PLACES.get(top, (top,))
        if rest.startswith("preprocessing."):
            places = (rest, *places)
            self.log.say(f"{spec.name} is tf.keras.{rest} in Keras 3")
        else:
            now = ".".join(part for part in ("keras", places[0]) if part)
            self.log.say(f"{spec.name} is {now} in Keras 3")
        module.__dict__["__old__"] = True
        module.__dict__["__getattr__"] = _looked_up(spec.name, places)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _below(name: str) -> str | None:
    for root in sorted(_ROOTS, key=len, reverse=True):
        if name == root:
            return ""
        if name.startswith(f"{root}."):
            return name[len(root) + 1 :]
    return None


def _looked_up(name: str, places: tuple[str, ...]) -> Callable[[str], Any]:
    def get(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        for place in places:
            for root in ("keras", "keras._tf_keras.keras"):
                path = ".".join(part for part in (root, place) if part)
                try:
                    module = importlib.import_module(path) if path != name else None
                    if module is not None and "__old__" not in vars(module):
                        return getattr(module, attribute)
                except (ImportError, AttributeError):
                    continue
        if name.endswith("scikit_learn"):
            return StandIn("what keras.wrappers gives")
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

    return get


def _names_without_slash(keras: Any, log: Log, patches: Patches) -> None:
    operation = importlib.import_module("keras.src.ops.operation").Operation
    original = operation.__init__
    said: list[str] = []

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        name = kwargs.get("name")
        if isinstance(name, str) and "/" in name:
            kwargs["name"] = new = name.replace("/", "_")
            if not said:
                said.append(name)
                log.say(f"the name {name!r} is {new!r} here, as others: Keras 3 allows no /")
        original(self, *args, **kwargs)

    init.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    patches.set(operation, "__init__", init)
    get_layer = keras.Model.get_layer

    def get(self: Any, name: Any = None, index: Any = None) -> Any:
        name = name.replace("/", "_") if isinstance(name, str) else name
        return get_layer(self, name=name, index=index)

    patches.set(keras.Model, "get_layer", get)


_FUNCTIONS = {
    "mse": "mean_squared_error", "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error", "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence", "kullback_leibler_divergence": "kl_divergence",
    "cosine_proximity": "cosine_similarity", "MSE": "mean_squared_error",
    "MAE": "mean_absolute_error", "bce": "binary_crossentropy",
}  # fmt: skip


def _functions(keras: Any, patches: Patches) -> None:
    """Short names of losses, and optimizers in lower case."""
    for module in _modules("losses"):
        for old, new in _FUNCTIONS.items():
            if not hasattr(module, old) and hasattr(keras.losses, new):
                patches.set(module, old, getattr(keras.losses, new))
    for module in _modules("optimizers"):
        for name in ("SGD", "RMSprop", "Adam", "Adagrad", "Adadelta", "Adamax", "Nadam"):
            if not hasattr(module, name.lower()):
                patches.set(module, name.lower(), getattr(keras.optimizers, name))


def _tensorflow_1(keras: Any, log: Log, patches: Patches) -> None:
    """``tf.random_normal`` and its like, which are in ``tf.compat.v1``."""
    tf = sys.modules.get("tensorflow")
    if tf is None:
        return
    before = vars(tf).get("__getattr__")

    def get(name: str) -> Any:
        if before is not None:
            try:
                return before(name)
            except AttributeError:
                pass
        if name.startswith("_") or not hasattr(tf.compat.v1, name) or not any(log.frames()):
            raise AttributeError(f"module 'tensorflow' has no attribute {name!r}")
        log.say(f"tf.{name} is tf.compat.v1.{name} in TensorFlow 2")
        return getattr(tf.compat.v1, name)

    patches.set(tf, "__getattr__", get)


def _models(keras: Any, log: Log, patches: Patches) -> None:
    """``Model(input=…, output=…)``."""
    functional = importlib.import_module("keras.src.models.functional").Functional
    new, init = keras.Model.__new__, functional.__init__

    def renamed(kwargs: dict[str, Any], say: bool) -> dict[str, Any]:
        if not {"input", "output"} & set(kwargs):
            return kwargs
        if say:
            log.say("Model(input=…, output=…) is Model(inputs=…, outputs=…) in Keras 3")
        return {{"input": "inputs", "output": "outputs"}.get(k, k): v for k, v in kwargs.items()}

    def make(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return new(cls, *args, **(renamed(kwargs, True) if cls is keras.Model else kwargs))

    def fill(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **renamed(kwargs, False))

    fill.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
    patches.set(keras.Model, "__new__", staticmethod(make))
    patches.set(functional, "__init__", fill)


def _optimizers(keras: Any, log: Log, patches: Patches) -> None:
    for kind in list(vars(keras.optimizers).values()):
        if isinstance(kind, type) and "__init__" in vars(kind):
            patches.set(kind, "__init__", _optimizer(log, vars(kind)["__init__"]))
    for root in ("keras", "keras._tf_keras.keras", "tensorflow.keras"):
        legacy = sys.modules.get(f"{root}.optimizers.legacy")
        for name in dir(legacy) if legacy else ():
            if isinstance(getattr(keras.optimizers, name, None), type):
                patches.set(legacy, name, getattr(keras.optimizers, name))


def _optimizer(log: Log, original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if "lr" in kwargs:
            log.say("lr= is learning_rate= in Keras 3")
            kwargs["learning_rate"] = kwargs.pop("lr")
        if "decay" in kwargs:
            log.say("decay= is a schedule from keras.optimizers.schedules in Keras 3")
            del kwargs["decay"]
        original(self, *args, **kwargs)

    init.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return init


def _layers(keras: Any, log: Log, patches: Patches) -> None:
    for name in _OLD_LAYERS:
        kind = getattr(keras.layers, name, None)
        if kind is not None and "__init__" in vars(kind):
            patches.set(kind, "__init__", _layer(log, kind, kind.__init__))


_NUMBERS = (StandIn, np.integer)
"""What a layer takes for a size only as a plain int."""


def _layer(log: Log, kind: type, original: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(original)
    known = set(signature.parameters)
    size = signature.parameters.get("pool_size")
    pools = size is not None and size.default is inspect.Parameter.empty

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if any(isinstance(value, _NUMBERS) for value in (*args, *kwargs.values())):
            args = tuple(int(a) if isinstance(a, _NUMBERS) else a for a in args)
            kwargs = {k: int(v) if isinstance(v, _NUMBERS) else v for k, v in kwargs.items()}
        if pools and not args and "pool_size" not in kwargs:
            log.say("pool_size= has no default in Keras 3, and is 2 as in Keras 2")
            kwargs["pool_size"] = 2
        original(self, *args, **(kwargs if known.issuperset(kwargs) else fixed(kwargs)))

    def fixed(kwargs: dict[str, Any]) -> dict[str, Any]:
        for old, new in _LAYER_WORDS.items():
            if old in kwargs and old not in known and new in known:
                log.say(f"{old}= is {new}= in Keras 3")
                kwargs[new] = kwargs.pop(old)
        if {"nb_row", "nb_col"} <= set(kwargs):
            log.say("nb_row= and nb_col= are kernel_size= in Keras 3")
            kwargs["kernel_size"] = (kwargs.pop("nb_row"), kwargs.pop("nb_col"))
        if kwargs.get("dim_ordering") in ("th", "tf"):
            last = kwargs.pop("dim_ordering") == "tf"
            kwargs["data_format"] = "channels_last" if last else "channels_first"
            log.say("dim_ordering= is data_format= in Keras 3")
        whole = kwargs.pop("batch_input_shape", None)
        if whole is not None:
            log.say("batch_input_shape= is keras.Input(batch_shape=…) in Keras 3")
            kwargs["input_shape"] = tuple(whole)[1:]
        if whole is not None or "batch_size" in kwargs:
            kwargs = {k: v for k, v in kwargs.items() if k not in ("batch_size", "stateful")}
        for old in _GONE & set(kwargs) - known:
            log.say(f"{old}= is gone in Keras 3")
            del kwargs[old]
        return kwargs

    init.__signature__ = signature  # type: ignore[attr-defined]
    return init


class _OfTensor:
    """``layer.output_shape`` and its like: read from the layer's tensors, may be overwritten."""

    def __init__(self, tensor: str) -> None:
        self.tensor = tensor

    def __get__(self, layer: Any, kind: Any = None) -> Any:
        if layer is None:
            return self
        tensor = getattr(layer, self.tensor)
        if isinstance(tensor, (list, tuple)):
            return [tuple(each.shape) for each in tensor]
        return tuple(tensor.shape)


def _attributes(keras: Any, log: Log, patches: Patches) -> None:
    layer = keras.layers.Layer
    for name, tensor in (("output_shape", "output"), ("input_shape", "input")):
        if not hasattr(layer, name):
            patches.set(layer, name, _OfTensor(tensor))
    patches.set(layer, "get_output_at", lambda self, index: self._inbound_nodes[index].outputs[0])
    patches.set(
        layer, "get_input_at", lambda self, index: self._inbound_nodes[index].input_tensors[0]
    )
    for module in _modules("layers"):
        for old, new in _NAMES.items():
            if not hasattr(module, old):
                patches.set(module, old, _renamed(keras, log, old, new))
        if not hasattr(module, "merge"):
            patches.set(module, "merge", _merge(keras, log))
        if not hasattr(module, "experimental"):
            patches.set(module, "experimental", _experimental(keras, log))
    legacy = importlib.import_module("keras._tf_keras.keras.preprocessing.image")
    for module in _modules("preprocessing.image"):
        for name in vars(legacy):
            if not hasattr(module, name):
                patches.set(module, name, getattr(legacy, name))


def _modules(name: str) -> Iterator[Any]:
    for root in ("keras", "keras._tf_keras.keras", "tensorflow.keras"):
        try:
            yield importlib.import_module(f"{root}.{name}")
        except ImportError:
            continue


def _renamed(keras: Any, log: Log, old: str, new: str) -> Callable[..., Any]:
    def make(*args: Any, **kwargs: Any) -> Any:
        log.say(f"{old} is {new} in Keras 3")
        return getattr(keras.layers, new)(*args, **kwargs)

    return make


def _experimental(keras: Any, log: Log) -> Any:
    """``layers.experimental`` and ``layers.experimental.preprocessing``."""
    module = types.ModuleType("keras.layers.experimental")

    def get(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        log.say("keras.layers.experimental is keras.layers in Keras 3")
        return module if name == "preprocessing" else getattr(keras.layers, name)

    module.__dict__["__getattr__"] = get
    return module


def _merge(keras: Any, log: Log) -> Callable[..., Any]:
    def merge(inputs: Any, mode: str = "sum", concat_axis: int = -1, **kwargs: Any) -> Any:
        kinds = {"sum": "add", "mul": "multiply", "ave": "average", "max": "maximum"}
        name = kwargs.get("name")
        if mode == "concat":
            log.say("merge(mode='concat') is concatenate() in Keras 3")
            return keras.layers.concatenate(inputs, axis=concat_axis, name=name)
        if mode == "dot":
            log.say("merge(mode='dot') is dot() in Keras 3")
            return keras.layers.dot(inputs, axes=kwargs.get("dot_axes", -1), name=name)
        log.say(f"merge(mode={mode!r}) is {kinds[mode]}() in Keras 3")
        return getattr(keras.layers, kinds[mode])(inputs, name=name)

    return merge


def _backend(keras: Any, log: Log, patches: Patches) -> None:
    """``K.sum`` and its like, which ``keras.backend`` has no more."""
    try:
        legacy = importlib.import_module("keras._tf_keras.keras.backend")
    except ImportError:
        return
    for module in _modules("backend"):
        for name in vars(legacy):
            if not name.startswith("_") and not hasattr(module, name):
                patches.set(module, name, getattr(legacy, name))
        extra: dict[str, Any] = {
            "Variable": keras.Variable,
            "image_dim_ordering": lambda: "tf",
            "set_image_dim_ordering": lambda order: keras.config.set_image_data_format(
                "channels_first" if order == "th" else "channels_last"
            ),
            "get_session": lambda: StandIn("a TensorFlow session"),
            "set_session": lambda session: None,
            "set_learning_phase": lambda phase: None,
            "learning_phase": lambda: 0,
            "set_value": lambda variable, value: None,
            "get_value": lambda variable: StandIn("the value of a variable"),
        }
        for name, value in extra.items():
            patches.set(module, name, value)
