"""Data sets that would be loaded: a few made-up samples of the right form."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from costlens.frontends.script.log import Log
from costlens.frontends.script.modules import StandInModules
from costlens.frontends.script.patches import Patches
from costlens.frontends.script.sample import Sample
from costlens.frontends.script.standin import StandIn

WORDS = (b"dataset", b"get_file", b"load_img", b"flow_from", b"read_file")
"""What occurs in a script that loads data by way of Keras or TensorFlow."""
_FEW = 200
_IMAGES = {
    "mnist": ((28, 28), 10, (-1,)),
    "fashion_mnist": ((28, 28), 10, (-1,)),
    "cifar10": ((32, 32, 3), 10, (-1, 1)),
    "cifar100": ((32, 32, 3), 100, (-1, 1)),
}
"""Shape of an image, classes, shape of the labels."""
_TEXTS = {"imdb": (2, 88_584), "reuters": (46, 30_979)}
"""Classes, size of the word index."""
_NUMBERS = {"boston_housing": 13, "california_housing": 8}

_TFDS: Mapping[str, tuple[tuple[int | None, ...], int]] = {
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "kmnist": ((28, 28, 1), 10),
    "emnist": ((28, 28, 1), 62),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "svhn_cropped": ((32, 32, 3), 10),
    "stl10": ((96, 96, 3), 10),
    "eurosat": ((64, 64, 3), 10),
    "horses_or_humans": ((300, 300, 3), 2),
    "rock_paper_scissors": ((300, 300, 3), 3),
    "cats_vs_dogs": ((None, None, 3), 2),
    "tf_flowers": ((None, None, 3), 5),
    "oxford_flowers102": ((None, None, 3), 102),
    "oxford_iiit_pet": ((None, None, 3), 37),
    "stanford_dogs": ((None, None, 3), 120),
    "caltech101": ((None, None, 3), 102),
    "food101": ((None, None, 3), 101),
    "beans": ((500, 500, 3), 3),
    "imagenet2012": ((None, None, 3), 1000),
    "imagenette": ((None, None, 3), 10),
    "colorectal_histology": ((150, 150, 3), 8),
    "malaria": ((None, None, 3), 2),
    "patch_camelyon": ((96, 96, 3), 2),
    "deep_weeds": ((256, 256, 3), 9),
}
"""Image data sets of TensorFlow Datasets: shape of an image, classes."""
_TFDS_TEXTS = {"imdb_reviews": 2, "ag_news_subset": 4, "yelp_polarity_reviews": 2}


def stand_in(keras: Any, log: Log, modules: StandInModules, patches: Patches) -> None:
    """Replace what loads data sets, files and folders of data."""
    made = {
        **{name: _images(*form) for name, form in _IMAGES.items()},
        **{name: _texts(*form) for name, form in _TEXTS.items()},
        **{name: _numbers(width) for name, width in _NUMBERS.items()},
    }
    for module in _dataset_modules(keras):
        name = module.__name__.rpartition(".")[2]
        if name in made:
            patches.set(module, "load_data", _said(log, name, made[name]))
        if name in _TEXTS:
            patches.set(module, "get_word_index", _word_index(_TEXTS[name][1]))
            if name == "reuters":
                patches.set(module, "get_label_names", _topics)
    _folders(keras, log, patches)
    _tensorflow_datasets(log)
    _generators(log, patches)
    _pictures(keras, patches)


def _dataset_modules(keras: Any) -> list[Any]:
    for prefix in ("keras.datasets", "keras._tf_keras.keras.datasets", "tensorflow.keras.datasets"):
        for name in (*_IMAGES, *_TEXTS, *_NUMBERS):
            try:
                importlib.import_module(f"{prefix}.{name}")
            except ImportError:
                continue
    parts = (".datasets.",)
    return [
        module
        for name, module in list(sys.modules.items())
        if any(part in name for part in parts) and hasattr(module, "load_data")
    ]


def _said(log: Log, name: str, load: Callable[..., Any]) -> Callable[..., Any]:
    def load_data(*args: Any, **kwargs: Any) -> Any:
        return load(*args, **kwargs)

    return load_data


def sample(shape: tuple[int, ...], dtype: str, count: int = _FEW) -> Sample:
    """Made-up samples whose values spread over what a byte holds."""
    array = np.zeros((count, *shape), dtype)
    array.reshape(count, -1)[:, :1] = (np.arange(count) % 256).reshape(-1, 1)
    return array.view(Sample)


def labels(classes: int, shape: tuple[int, ...] = (-1,), count: int = _FEW) -> Sample:
    """Made-up labels: every class occurs."""
    return (np.arange(count) % classes).astype("uint8").reshape(shape).view(Sample)


def _images(shape: tuple[int, ...], classes: int, form: tuple[int, ...]) -> Callable[..., Any]:
    def load(label_mode: str = "fine", *args: Any, **kwargs: Any) -> Any:
        many = 20 if label_mode == "coarse" else classes
        return tuple((sample(shape, "uint8"), labels(many, form)) for _ in range(2))

    return load


def _texts(classes: int, words: int) -> Callable[..., Any]:
    def load(path: str = "", num_words: int | None = None, *args: Any, **kwargs: Any) -> Any:
        most = (num_words or kwargs.get("nb_words") or words + 3) - 1
        length = min(kwargs.get("maxlen") or 200, 200)
        texts = np.empty(_FEW, object)
        for i in range(_FEW):
            texts[i] = [1, *((7 * j + i) % max(most, 1) + 1 for j in range(length - 10)), most]
        x = texts.view(Sample)
        return tuple((x.copy(), labels(classes).astype("int64")) for _ in range(2))

    return load


def _numbers(width: int) -> Callable[..., Any]:
    def load(*args: Any, **kwargs: Any) -> Any:
        rows = np.outer(np.arange(_FEW) + 1.0, np.arange(width) + 1.0).astype("float32")
        targets = (np.arange(_FEW) % 50 + 1.0).astype("float32")
        return tuple((rows.copy().view(Sample), targets.copy().view(Sample)) for _ in range(2))

    return load


def _word_index(words: int) -> Callable[..., dict[str, int]]:
    def get(*args: Any, **kwargs: Any) -> dict[str, int]:
        return {"the": 1, **{f"word{i}": i for i in range(2, words + 1)}}

    return get


def _topics() -> tuple[str, ...]:
    return tuple(f"topic{i}" for i in range(46))


def _folders(keras: Any, log: Log, patches: Patches) -> None:
    """``…_dataset_from_directory`` and ``get_file``, under every name that they have."""
    makers = {
        "image_dataset_from_directory": _image_folder(log),
        "text_dataset_from_directory": _text_folder(log),
        "audio_dataset_from_directory": _audio_folder(log),
        "get_file": _no_file(log),
        "load_img": _loading(log, keras.utils.load_img),
    }
    for name, module in list(sys.modules.items()):
        if not name.startswith(("keras", "tensorflow.keras")) or name.startswith(
            "keras.src.backend"
        ):
            continue
        for attribute, make in makers.items():
            if attribute in vars(module):
                patches.set(module, attribute, make)


def _no_file(log: Log) -> Callable[..., str]:
    def get_file(fname: Any = None, origin: Any = None, *args: Any, **kwargs: Any) -> str:
        name = str(fname or str(origin or "file").rpartition("/")[2])
        log.say(f"{name} is not downloaded")
        return name

    return get_file


def _loading(log: Log, original: Callable[..., Any]) -> Callable[..., Any]:
    def load_img(path: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(path, *args, **kwargs)
        except (OSError, ImportError, TypeError):
            size = kwargs.get("target_size") or (224, 224)
            return _Image((int(size[1]), int(size[0])))

    return load_img


class _Image:
    """A picture as PIL has it: its size is width and height."""

    mode = "RGB"

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, (self.width, self.height) = size, size

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.zeros((self.height, self.width, 3), dtype or "float32")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self


def _dataset(x: Any, y: Any, batch: int | None) -> Any:
    """A tf.data data set, or a pair of arrays where TensorFlow is not here."""
    try:
        tf = importlib.import_module("tensorflow")
    except ImportError:
        return x, y
    whole = tf.data.Dataset.from_tensor_slices(x if y is None else (x, y))
    return whole.batch(batch) if batch else whole


def _labelled(
    log: Log, x: Any, kwargs: Mapping[str, Any], directory: Any, options: Mapping[str, Any]
) -> Any:
    mode = options.get("label_mode", "int")
    if options.get("labels", "inferred") is None:
        mode = None
    names = list(options.get("class_names") or [])
    if not names:
        names = ["class0", "class1"]
        if mode is not None:
            log.say(f"the data in {directory} are not read; 2 classes are taken for granted")
    y: Any = np.arange(len(x)) % len(names)
    if mode == "categorical":
        y = np.eye(len(names), dtype="float32")[y]
    elif mode == "binary":
        y = y.astype("float32").reshape(-1, 1)
    data = _dataset(x, None if mode is None else y, options.get("batch_size", 32))
    data.class_names, data.file_paths = names, []
    if options.get("subset") == "both":
        other = _dataset(x, None if mode is None else y, options.get("batch_size", 32))
        other.class_names, other.file_paths = names, []
        return data, other
    return data


_FOLDER = ("labels", "label_mode", "class_names")


def _image_folder(log: Log) -> Callable[..., Any]:
    names = (*_FOLDER, "color_mode", "batch_size", "image_size")

    def load(directory: Any = "", *args: Any, **kwargs: Any) -> Any:
        options = {**dict(zip(names, args, strict=False)), **kwargs}
        size = options.get("image_size") or (256, 256)
        channels = {"grayscale": 1, "rgba": 4}.get(options.get("color_mode", "rgb"), 3)
        x = np.zeros((2, int(size[0]), int(size[1]), channels), "float32")
        return _labelled(log, x, kwargs, directory, options)

    return load


def _text_folder(log: Log) -> Callable[..., Any]:
    names = (*_FOLDER, "batch_size", "max_length")

    def load(directory: Any = "", *args: Any, **kwargs: Any) -> Any:
        options = {**dict(zip(names, args, strict=False)), **kwargs}
        return _labelled(log, ["a made-up text", "another text"], kwargs, directory, options)

    return load


def _audio_folder(log: Log) -> Callable[..., Any]:
    names = (*_FOLDER, "batch_size", "sampling_rate", "output_sequence_length")

    def load(directory: Any = "", *args: Any, **kwargs: Any) -> Any:
        options = {**dict(zip(names, args, strict=False)), **kwargs}
        length = options.get("output_sequence_length") or 16_000
        x = np.zeros((2, int(length), 1), "float32")
        return _labelled(log, x, kwargs, directory, options)

    return load


def _generators(log: Log, patches: Patches) -> None:
    """``ImageDataGenerator().flow_from_directory`` over folders that are not here."""
    try:
        images = importlib.import_module("keras.src.legacy.preprocessing.image")
    except ImportError:
        return

    def flow(self: Any, directory: Any = "", *args: Any, **kwargs: Any) -> Any:
        size = kwargs.get("target_size") or (args[0] if args else (256, 256))
        mode = kwargs.get("class_mode", "categorical")
        classes = list(kwargs.get("classes") or [])
        if not classes:
            classes = ["class0", "class1"]
            if mode is not None:
                log.say(f"the data in {directory} are not read; 2 classes are taken for granted")
        channels = {"grayscale": 1, "rgba": 4}.get(kwargs.get("color_mode", "rgb"), 3)
        x = np.zeros((2, int(size[0]), int(size[1]), channels), "float32")
        y = {"categorical": np.eye(len(classes), dtype="float32")[[0, -1]], "input": x}.get(
            mode, np.array([0.0, 1.0], "float32")
        )
        return Batches(x if mode is None else (x, y), classes)

    def flow_frame(self: Any, frame: Any = None, *args: Any, **kwargs: Any) -> Any:
        return flow(self, "the table", **kwargs)

    patches.set(images.ImageDataGenerator, "flow_from_directory", flow)
    patches.set(images.ImageDataGenerator, "flow_from_dataframe", flow_frame)


class Batches:
    """One batch, again and again, as an iterator over a folder of images gives them."""

    def __init__(self, batch: Any, classes: list[str]) -> None:
        self.batch = batch
        self.class_indices = {name: i for i, name in enumerate(classes)}
        self.num_classes, self.batch_size = len(classes), 2
        self.samples = self.n = 2
        self.classes = np.arange(2) % len(classes)
        self.filenames = self.filepaths = ["image0", "image1"]
        first = batch[0] if isinstance(batch, tuple) else batch
        self.image_shape = tuple(first.shape[1:])
        self.target_size = self.image_shape[:2]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.batch

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self.batch

    next = __next__

    def reset(self) -> None:
        """Start again."""

    on_epoch_end = reset


def _pictures(keras: Any, patches: Patches) -> None:
    """``tf.io.read_file`` of what is not here, and what decodes it."""
    if keras.backend.backend() != "tensorflow":
        return
    tf = importlib.import_module("tensorflow")
    original = tf.io.read_file

    def read_file(filename: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(filename, *args, **kwargs)
        except (tf.errors.OpError, TypeError, ValueError):
            return tf.constant(b"")

    def decoding(decode: Callable[..., Any]) -> Callable[..., Any]:
        def picture(contents: Any, channels: int = 0, *args: Any, **kwargs: Any) -> Any:
            try:
                return decode(contents, channels, *args, **kwargs)
            except (tf.errors.OpError, TypeError, ValueError):
                return tf.zeros((256, 256, channels or 3), kwargs.get("dtype", tf.uint8))

        return picture

    patches.set(tf.io, "read_file", read_file)
    for owner in (tf.io, tf.image):
        for name in ("decode_image", "decode_jpeg", "decode_png", "decode_bmp", "decode_gif"):
            if hasattr(owner, name):
                patches.set(owner, name, decoding(getattr(owner, name)))


def _tensorflow_datasets(log: Log) -> None:
    from costlens.frontends.script import modules

    modules._KNOWN["tensorflow_datasets"] = {
        "load": _tfds_load(log),
        "disable_progress_bar": lambda: None,
        "as_numpy": lambda data: (
            data.as_numpy_iterator() if hasattr(data, "as_numpy_iterator") else data
        ),
    }


def _tfds_load(log: Log) -> Callable[..., Any]:
    def load(name: str, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        key = str(name).partition("/")[0].partition(":")[0]
        made = _tfds_arrays(key)
        if made is None:
            return StandIn(f"what tensorflow_datasets has under {key}")
        x, y, field, classes = made
        batch = kwargs.get("batch_size")

        def one() -> Any:
            data = _dataset(x, y, batch)
            if not kwargs.get("as_supervised"):
                data = data.map(lambda a, b: {field: a, "label": b})
            return data

        if isinstance(split, (list, tuple)):
            data: Any = tuple(one() for _ in split)
        elif split is None:
            data = {part: one() for part in ("train", "test", "validation", "unsupervised")}
        else:
            data = one()
        return (data, _Info(field, x, classes)) if kwargs.get("with_info") else data

    return load


def _tfds_arrays(name: str) -> tuple[Any, Any, str, int] | None:
    if name in _TFDS:
        shape, classes = _TFDS[name]
        sizes = tuple(n or 300 for n in shape)
        x = np.zeros((4, *sizes), "uint8")
        return x, (np.arange(4) % classes).astype("int64"), "image", classes
    if name in _TFDS_TEXTS:
        classes = _TFDS_TEXTS[name]
        return ["a made-up text", "another text"], np.arange(2).astype("int64"), "text", classes
    return None


class _Label:
    def __init__(self, classes: int) -> None:
        self.num_classes = classes
        self.names = [f"class{i}" for i in range(classes)]

    def int2str(self, number: int) -> str:
        return f"class{number}"


class _Splits(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        return StandIn(f"how many samples {name} has")


class _Feature:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


class _Info:
    """What ``with_info`` gives."""

    def __init__(self, field: str, x: Any, classes: int) -> None:
        shape = tuple(x.shape[1:]) if hasattr(x, "shape") else ()
        self.features = {"label": _Label(classes), field: _Feature(shape)}
        self.splits = _Splits()

    def __getattr__(self, name: str) -> Any:
        return StandIn(f"the information of a data set, {name}")
