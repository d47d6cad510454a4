"""Files of Keras 2, which ``keras2/make.py`` wrote, and HDF5 files of either version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import costlens
from costlens.errors import InputError, LoweringError
from costlens.frontends.hdf5_text import texts
from tests.frontends.saved import functions, varied
from tests.support import abstract

HERE = Path(__file__).parent / "keras2"


def conv_layer(name: str, **config: Any) -> dict[str, Any]:
    held = {"name": name, "filters": 2, "kernel_size": [3, 3], "strides": [1, 1],
            "padding": "valid", "dilation_rate": [1, 1], "use_bias": True,
            "data_format": "channels_last", "activation": "linear", **config}  # fmt: skip
    return {"class_name": "Conv2D", "config": held}


def analyzed(config: Any, path: Path, **flags: Any) -> costlens.study.Study:
    path.write_text(json.dumps(config))
    return costlens.analyze(str(path), **flags)


@pytest.mark.parametrize("build", [varied, functions])
def test_a_configuration_costs_what_the_same_model_of_keras_3_does(
    build: Callable[[], keras.Model],
) -> None:
    old = costlens.analyze(str(HERE / f"{build.__name__}.json"))
    new = costlens.analyze(abstract(build))
    assert old.coverage.unknown == ()
    for field in ("params", "trainable_params", "macs", "macs_valid", "weight_bytes"):
        assert getattr(old.totals, field) == getattr(new.totals, field), field
    # attention counts its causal mask up where later versions compare two ranges, and the first
    # versions of Keras 3 record what a layer casts
    rows = ([row for row in study.layers if row.type != "Cast"] for study in (old, new))
    for a, b in zip(*rows, strict=True):
        assert a.type == b.type
        assert a.flops == b.flops or a.type == "MultiHeadAttention"


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_saved_model(suffix: str) -> None:
    """Positions × taps × channels by hand; parameters as Keras 2 counts them."""
    study = costlens.analyze(str(HERE / f"saved.{suffix}"))
    assert study.totals.macs == 16 * 27 * 4 + 16 * (9 * 4 + 4 * 4) + 4 * 5
    assert (study.totals.params, study.totals.trainable_params) == (209, 193)
    assert (study.graph.notes, study.source.keras[:2]) == ((), "2.")
    assert study.layers[1].path == "stem/conv"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("stem/conv/stem/conv/kernel:0", r"^stem/conv: its kernel should be float32\[3, 3, 3, 4\]"),
        (
            "block/separable_conv2d/bias:0",
            r"^block: its config asks for 1 more weights float32\[4\]",
        ),
    ],
)
def test_weights_of_another_shape_name_the_layer(place: str, says: str, tmp_path: Path) -> None:
    path = Path(copy(HERE / "saved.h5", tmp_path))
    with h5py.File(path, "a") as file:
        del file[f"model_weights/{place}"]
        file[f"model_weights/{place}"] = np.zeros((9,), "float32")
    with pytest.raises(LoweringError, match=says):
        costlens.analyze(str(path))


def test_an_hdf5_file_of_keras_3_reads_as_its_live_model(tmp_path: Path) -> None:
    model = varied()
    model.compile("adam", "mse")
    model.save(tmp_path / "m.h5")
    study, live = costlens.analyze(str(tmp_path / "m.h5")), costlens.analyze(model)
    assert (study.totals, study.layers) == (live.totals, live.layers)
    assert (study.graph.notes, study.source.keras) == ((), keras.__version__)


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("size", [10, 100_000])
def test_texts_in_every_format_of_hdf5(libver: str, size: int, tmp_path: Path) -> None:
    """As h5py writes them: bytes of no fixed length, text, bytes of a fixed length, and numbers."""
    values = {"model_config": b"m" * size, "keras_version": "3.é", "backend": np.bytes_(b"fixed")}
    with h5py.File(tmp_path / "t.h5", "w", libver=libver) as file:
        file.attrs.update(other=np.arange(9), **values)
        file.create_dataset("data", data=np.zeros(9))
    with open(tmp_path / "t.h5", "rb") as file:
        found = texts(file, {*values, "other", "absent"}, 10**6)
    assert found == {**values, "keras_version": "3.é".encode()}


def test_hdf5_files_that_hold_no_model(tmp_path: Path) -> None:
    varied().save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file.attrs["model_config"] = np.zeros((3,))
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, says in (
        ("m.weights.h5", "holds weights and no model"),
        ("bare.h5", "holds weights and no model"),
        ("text.h5", "cannot be read as HDF5"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            costlens.analyze(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_a_sequential_as_the_first_versions_wrote_it(tmp_path: Path) -> None:
    layers = [conv_layer("a", batch_input_shape=[None, 8, 8, 3]), conv_layer("b")]
    study = analyzed({"class_name": "Sequential", "config": layers}, tmp_path / "c.json")
    assert study.totals.params == 3 * 3 * 3 * 2 + 2 + 3 * 3 * 2 * 2 + 2
    assert study.totals.macs == 36 * 27 * 2 + 16 * 18 * 2


def test_states_that_a_recurrent_layer_is_called_on_in_a_list(tmp_path: Path) -> None:
    """An encoder and a decoder (Sutskever, Vinyals & Le 2014): no zeros start the second."""

    def start(name: str) -> dict[str, Any]:
        config = {"name": name, "batch_input_shape": [None, 5, 3], "dtype": "float32"}
        return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}

    def lstm(name: str, calls: Any) -> dict[str, Any]:
        config = {"name": name, "units": 4, "return_sequences": True, "return_state": True}
        return {"class_name": "LSTM", "name": name, "config": config, "inbound_nodes": [calls]}

    states = [["there", 0, 1, {}], ["there", 0, 2, {}]]
    layers = [start("x"), start("y"), lstm("there", [["x", 0, 0, {}]]),
              lstm("back", [["y", 0, 0, {}], *states])]  # fmt: skip
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0], ["y", 0, 0]],
              "output_layers": [["back", 0, 0]]}  # fmt: skip
    study = analyzed({"class_name": "Model", "config": config}, tmp_path / "c.json")
    zeros = [n.origin.layer for n in study.graph.nodes if n.attrs.get("fn") == "zeros"]
    assert set(zeros) == {"there"}
    assert study.totals.macs == 2 * 5 * 4 * (3 + 4) * 4


def test_a_function_that_keras_has_not_is_unknown_by_its_name(tmp_path: Path) -> None:
    config = json.loads((HERE / "functions.json").read_text())
    (relu,) = [x for x in config["config"]["layers"] if x["name"] == "tf.nn.relu6"]
    relu["config"]["function"] = "random.shuffle"
    study = analyzed(config, tmp_path / "c.json")
    assert [u.layer for u in study.coverage.unknown] == ["tf.nn.relu6"]
    assert "tf.random.shuffle" in study.coverage.unknown[0].reason
