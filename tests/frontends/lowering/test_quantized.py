"""Quantised layers: stored weights and types against Keras, arithmetic against literal loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pytest

from costlens.cost.cost import Cost
from tests.cost.counting import Number, Tally, larger, smaller
from tests.support import abstract, cost_of, functional, graph_of, params_of

layers, quantizers = keras.layers, keras.quantizers


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras collects garbage for every kernel that it replaces, which is most of the time here."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


def _config(name: str, **options: Any) -> Any:
    return getattr(quantizers, name)(**options)


def _after(
    layer: Any, shape: Sequence[int], dtype: str | None, change: Callable[[Any], None], **call: Any
) -> tuple[Any, int]:
    """A model of one layer that was changed after it was built, and the parameters it had."""
    x = keras.Input(tuple(shape), dtype=dtype)
    before = functional(x, layer(x, **call)).count_params()
    change(layer)
    return functional(x, layer(x, **call)), before


HAS_CONFIGS = hasattr(quantizers, "Int4QuantizationConfig")  # one layout of int4 since then
MODES: dict[str, Callable[[Any], None]] = {
    "int8": lambda layer: layer.quantize("int8"),
    "float8": lambda layer: layer.quantize("float8"),
}
if HAS_CONFIGS:
    MODES |= {
        "int8, inputs as they are": lambda layer: layer.quantize(
            "int8", config=_config("Int8QuantizationConfig", activation_quantizer=None)
        ),
        "int4": lambda layer: layer.quantize("int4"),
        "int4 in blocks of 4": lambda layer: layer.quantize(
            "int4", config=_config("Int4QuantizationConfig", block_size=4)
        ),
        "int4 per channel": lambda layer: layer.quantize(
            "int4", config=_config("Int4QuantizationConfig", block_size=None)
        ),
        "int4 per channel, inputs too": lambda layer: layer.quantize(
            "int4",
            config=_config(
                "Int4QuantizationConfig",
                block_size=-1,
                activation_quantizer=quantizers.AbsMaxQuantizer(),
            ),
        ),
        "gptq before calibration": lambda layer: layer.quantize(
            "gptq", config=_config("GPTQConfig", dataset=None, tokenizer=None, group_size=4)
        ),
        "gptq 8 bits before calibration": lambda layer: layer.quantize(
            "gptq",
            config=_config(
                "GPTQConfig", dataset=None, tokenizer=None, weight_bits=8, group_size=-1
            ),
        ),
    }
if hasattr(quantizers, "AWQConfig"):
    MODES["awq before calibration"] = lambda layer: layer.quantize(
        "awq", config=_config("AWQConfig", dataset=None, tokenizer=None, group_size=4)
    )

DENSE: dict[str, Callable[..., Any]] = {
    "dense": lambda **kw: layers.Dense(5, activation="relu", **kw),
    "dense, no bias": lambda **kw: layers.Dense(5, use_bias=False, **kw),
    "heads": lambda **kw: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", **kw),
    "all axes at once": lambda **kw: layers.EinsumDense("abc,bcd->ad", (6,), bias_axes="d", **kw),
    "turned": lambda **kw: layers.EinsumDense("abc,cd->adb", (5, None), **kw),
}


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", DENSE)
def test_parameters_are_those_of_the_unquantised_layer(kind: str, mode: str, dtype: str) -> None:
    model, before = _after(DENSE[kind](dtype=dtype), (4, 9), None, MODES[mode])
    graph = graph_of(model, batch=3)
    assert params_of(graph) == before
    stored = sum(weight.type.nbytes for weight in graph.weights.values())
    assert stored == sum(int(np.prod(w.shape)) * _bytes(w.dtype) for w in model.weights)


def _bytes(dtype: str) -> int:
    return {"int8": 1, "uint8": 1, "bfloat16": 2}.get(dtype, 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", DENSE)
def test_quantisation_changes_no_macs(kind: str, mode: str) -> None:
    model, _ = _after(DENSE[kind](), (4, 9), None, MODES[mode])
    x = keras.Input((4, 9))
    plain = functional(x, DENSE[kind]()(x))
    assert cost_of(graph_of(model, batch=3)).macs == cost_of(graph_of(plain, batch=3)).macs


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.startswith("int")])
@pytest.mark.parametrize("kind", ["dense", "heads"])
def test_lora_beside_a_quantised_kernel(kind: str, mode: str) -> None:
    def change(layer: Any) -> None:
        MODES[mode](layer)
        layer.enable_lora(2)

    model, before = _after(DENSE[kind](), (4, 9), None, change)
    plain, _ = _after(DENSE[kind](), (4, 9), None, MODES[mode])
    graph = graph_of(model, batch=3)
    # dense: A (9, 2), B (2, 5); heads: A (9, 2, 2), B (2, 3)
    a, b, outer = (18, 10, 1) if kind == "dense" else (36, 6, 2)
    assert params_of(graph) == before + a + b
    extra = cost_of(graph).macs - cost_of(graph_of(plain, batch=3)).macs
    assert extra == 3 * 4 * (a + b * outer)


if "int4" in MODES:

    def test_int4_dense_of_33_on_64_inputs() -> None:
        """Packed along the outputs: 17 bytes hold 33 values; Keras counts 1,251 variables."""
        model, before = _after(layers.Dense(33), (64,), None, MODES["int4"])
        graph = graph_of(model)
        assert model.count_params() == 1251
        assert params_of(graph) == before == 64 * 33 + 33 == 2145
        assert {w.path.rpartition("/")[2]: w.type.shape for w in graph.weights.values()} == {
            "kernel": (64, 17),
            "kernel_scale": (1, 33),
            "kernel_zero": (1, 33),
            "g_idx": (64,),
            "bias": (33,),
        }


POLICIES = ["int8_from_float32", "int8_from_mixed_bfloat16", "float8_from_mixed_bfloat16"]
if HAS_CONFIGS:
    POLICIES += [
        "int4_from_float32",
        "int4/4_from_float32",
        "int4/-1_from_mixed_bfloat16",
        "gptq/4/4_from_float32",
        "gptq/2/-1_from_float32",
        "gptq/4/-1_from_mixed_float16",
    ]
if hasattr(quantizers, "AWQConfig"):
    POLICIES.append("awq/4/4_from_float32")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["dense", "heads"])
def test_layers_made_quantised_by_their_policy(kind: str, policy: str) -> None:
    x = keras.Input((4, 9))
    model = functional(x, DENSE[kind](dtype=policy)(x))
    graph = graph_of(model, batch=2)
    assert params_of(graph) == (50 if kind == "dense" else 60)
    assert cost_of(graph).macs == 2 * 4 * 9 * (5 if kind == "dense" else 6)


# -- embeddings ----------------------------------------------------------------------------

TABLES: dict[str, Callable[..., Any]] = {"embedding": lambda **kw: layers.Embedding(11, 7, **kw)}
if hasattr(layers, "ReversibleEmbedding"):
    TABLES["tied"] = lambda **kw: layers.ReversibleEmbedding(11, 7, **kw)
    TABLES["untied"] = lambda **kw: layers.ReversibleEmbedding(
        11, 7, tie_weights=False, logit_soft_cap=3.0, **kw
    )


@pytest.mark.parametrize("lora", [None, 2])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.startswith("int")])
@pytest.mark.parametrize("kind", TABLES)
def test_embeddings(kind: str, mode: str, dtype: str, lora: int | None) -> None:
    if kind == "embedding" and mode.endswith("inputs too"):
        mode = "int8"  # indices are not quantised

    def change(layer: Any) -> None:
        MODES[mode](layer)
        if lora:
            layer.enable_lora(lora)

    made = lora * (11 + 7) if lora else 0
    for shape, ids, call in [((4,), "int32", {}), ((4, 7), None, {"reverse": True})]:
        if call and kind == "embedding":
            continue
        model, before = _after(TABLES[kind](dtype=dtype), shape, ids, change, **call)
        graph = graph_of(model, batch=3)
        assert params_of(graph) == before + made
        expected = 3 * 4 * 7 * (11 if call else lora or 0)
        assert cost_of(graph).macs == expected


# -- inside attention --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", "float8", *(["int4"] if HAS_CONFIGS else [])])
@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
def test_quantised_projections_of_attention(name: str, mode: str) -> None:
    x = keras.Input((6, 8))
    make = {
        "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 4),
        "GroupQueryAttention": lambda: layers.GroupQueryAttention(4, 4, 2),
    }[name]
    model = functional(x, layers.Dense(3)(make()(x, x)))
    before, plain = model.count_params(), cost_of(graph_of(model, batch=2))
    model.quantize(mode)
    graph = graph_of(model, batch=2)
    assert params_of(graph) == before
    assert cost_of(graph).macs == plain.macs


@pytest.mark.parametrize("key", ["attention/query", "attention/.*", ".*/query"])
def test_a_policy_map_quantises_layers_by_path(key: str) -> None:
    policies = keras.dtype_policies.DTypePolicyMap("float32")
    policies[key] = keras.dtype_policies.QuantizedDTypePolicy("int8", "float32")
    x = keras.Input((6, 8))
    model = functional(x, layers.MultiHeadAttention(2, 4, dtype=policies, name="attention")(x, x))
    graph = graph_of(model)
    assert params_of(graph) == 288


# -- literal loops -------------------------------------------------------------------------------


def _abs_max(row: Sequence[Number]) -> tuple[list[int], Number]:
    """int8 values and their scale; rounding and each clip are a comparison."""
    peak = abs(row[0])
    for x in row[1:]:
        peak = larger(abs(x), peak)
    scale = 127.0 / (peak + keras.config.epsilon())
    return [_rounded(x * scale) for x in row], scale


def _rounded(x: Number) -> int:
    x.tally.comparisons += 1
    whole = x.tally.number(float(np.round(x.value)))
    return int(_plain(smaller(whole if whole >= -127 else whole.tally.number(-127), 127)))


def _plain(x: Any) -> float:
    return x.value if isinstance(x, Number) else float(x)


def _eager(make: Callable[[], Any], mode: str, shape: Sequence[int]) -> tuple[Any, Any]:
    """A layer with weights, quantised, and a model that calls it."""
    layer = make()
    x = keras.Input(tuple(shape))
    layer(x)
    rng = np.random.default_rng(3)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    MODES[mode](layer)
    return layer, functional(x, layer(x))


def _array(x: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(x))


def _arithmetic(model: Any, batch: int) -> Cost:
    cost = cost_of(graph_of(model, batch=batch))
    return cost + Cost(bytes_read=-cost.bytes_read, bytes_written=-cost.bytes_written)


def test_int8_dense_is_its_arithmetic() -> None:
    layer, model = _eager(lambda: layers.Dense(3), "int8", (5,))
    values = np.random.default_rng(4).normal(size=(2, 5)).astype("float32")
    kernel, scales, bias = _array(layer._kernel), _array(layer.kernel_scale), _array(layer.bias)
    tally, macs, out = Tally(), 0, np.zeros((2, 3))
    for i, row in enumerate(values):
        q, scale = _abs_max([tally.number(v) for v in row])
        for j in range(3):
            dot = sum(a * int(b) for a, b in zip(q, kernel[:, j], strict=True))
            macs += 5
            y = tally.number(dot) / (scale * float(scales[j])) + float(bias[j])
            out[i, j] = y.value
    np.testing.assert_allclose(out, _array(layer(values)), rtol=1e-4, atol=1e-5)
    assert _arithmetic(model, 2) == tally.cost + Cost(macs, macs)


def _blocks(layer: Any) -> Iterator[tuple[int, int, int, float, float]]:
    """Row, column, value, zero point and scale of each element of an int4 kernel in blocks."""
    packed = _array(layer._kernel)
    values = _array(quantizers.unpack_int4(layer._kernel, layer.units, axis=-1))
    scale, zero, groups = (_array(w) for w in (layer.kernel_scale, layer.kernel_zero, layer.g_idx))
    assert packed.shape == (5, 2)
    for i, j in np.ndindex(values.shape):
        group = int(groups[i])
        yield i, j, int(values[i, j]), float(zero[group, j]), float(scale[group, j])


if "int4 in blocks of 4" in MODES:

    def test_int4_dense_in_blocks_is_its_arithmetic() -> None:
        layer, model = _eager(lambda: layers.Dense(3), "int4 in blocks of 4", (5,))
        values = np.random.default_rng(4).normal(size=(2, 5)).astype("float32")
        tally, kernel = Tally(), np.zeros((5, 3))
        for i, j, value, zero, scale in _blocks(layer):
            kernel[i, j] = ((tally.number(value) - zero) * scale).value
        out, bias = values @ kernel, _array(layer.bias)
        for index in np.ndindex(out.shape):
            out[index] = (tally.number(out[index]) + float(bias[index[-1]])).value
        np.testing.assert_allclose(out, _array(layer(values)), rtol=1e-4, atol=1e-5)
        assert _arithmetic(model, 2) == tally.cost + Cost(2 * 5 * 3, 2 * 5 * 3)


def test_int8_heads_divide_by_both_scales() -> None:
    heads = layers.EinsumDense("abc,cde->abde", (None, 2, 3))
    _, model = _eager(lambda: heads, "int8", (4, 9))
    cost = cost_of(graph_of(model, batch=2))
    rows, outputs = 2 * 4, 2 * 4 * 6
    # per row of 9: 8 comparisons for the maximum, ε, one division; then a product, a rounding
    # and two clips per element; per output a product of the scales and a division
    assert cost.comparisons == rows * (8 + 9 * 3)
    assert cost.adds == rows
    assert cost.divs == rows + outputs
    assert cost.muls == rows * 9 + outputs


def test_float8_rounds_both_operands() -> None:
    _, model = _eager(lambda: layers.Dense(3, use_bias=False), "float8", (5,))
    cost = cost_of(graph_of(model, batch=2))
    elements = 2 * 5 + 5 * 3  # inputs and kernel: divided, clipped at both ends, multiplied
    assert (cost.divs, cost.comparisons, cost.muls) == (elements, 2 * elements, elements)
    assert cost.flops == 2 * 2 * 5 * 3 + 4 * elements


def test_scales_are_no_parameters_and_kernels_are_not_trainable() -> None:
    model, _ = _after(layers.Dense(5), (9,), None, MODES["int8"])
    weights = {w.path.rpartition("/")[2]: w for w in graph_of(model).weights.values()}
    assert weights["kernel_scale"].auxiliary
    assert not weights["kernel"].auxiliary
    assert {name: w.trainable for name, w in weights.items()} == {
        "kernel": False,
        "kernel_scale": False,
        "bias": True,
    }


def test_quantised_layers_build_without_weights_too() -> None:
    def build() -> Any:
        x = keras.Input((4, 9))
        return functional(x, layers.Dense(5, dtype="int8_from_float32")(x))

    assert params_of(graph_of(abstract(build))) == 50
