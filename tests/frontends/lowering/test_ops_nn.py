"""``keras.ops`` of nn, core and einops against Keras, loops and hand-derived counts."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import keras
import numpy as np
import pytest

from costlens.cost.registry import price
from costlens.frontends.layercall import Constant, Layer, Program, ProgramInput, Ref, Step
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.run import lower
from costlens.ir.check import check
from costlens.ir.types import TensorType
from tests.frontends.lowering.ops_support import (
    Case,
    In,
    case,
    cost,
    exists,
    f,
    graph,
    graph_with,
    h,
    i,
    op,
    ops_in,
    present,
    u,
)
from tests.support import cost_of

FIRST = {"data_format": "channels_first"}


def ones(*shape: int) -> Any:
    """A captured array, in numpy's own float64."""
    return np.ones(shape)


ACTIVATIONS = (
    "celu elu gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu "
    "log_sigmoid log_softmax relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign "
    "sparse_plus sparse_sigmoid sparsemax squareplus swish tanh_shrink"
).split()

ELEMENTWISE = [
    *(case(name, x) for name in ACTIVATIONS for x in (f(2, 6), h(2, 6))),
    case("gelu", f(2, 6), approximate=False),
    case("threshold", f(2, 6), 0.5, 1.0),
    case("softmax", f(2, 6), axis=None),
    case("softmax", f(2, 3, 4, 5), axis=(1, 3)),
    case("log_softmax", f(2, 3, 4), axis=1),
]

WINDOWS = [
    case("conv", f(2, 9, 4), ones(3, 4, 5), strides=2, padding="SAME"),
    case("conv", h(2, 9, 8, 4), ones(3, 2, 4, 6), dilation_rate=(2, 1)),
    case("conv", f(2, 4, 9, 8), ones(3, 2, 4, 6), 2, **FIRST),
    case("conv", f(1, 5, 6, 7, 2), ones(3, 2, 1, 2, 3), padding="same"),
    case("conv", f(2, 9, 8, 4), f(3, 3, 4, 6)),
    case("depthwise_conv", f(2, 9, 4), ones(3, 4, 2)),
    case("depthwise_conv", h(2, 9, 8, 4), ones(3, 3, 4, 1), 2, "same"),
    case("separable_conv", f(2, 9, 8, 4), ones(3, 3, 4, 2), ones(1, 1, 8, 5), 2),
    case("separable_conv", h(2, 9, 4), ones(3, 4, 2), ones(1, 8, 5)),
    case("conv_transpose", f(2, 9, 8, 4), ones(3, 2, 5, 4), 1),
    case("conv_transpose", h(2, 9, 8, 4), ones(3, 2, 5, 4), 2, "same"),
    case("conv_transpose", f(2, 9, 8, 4), ones(3, 2, 5, 4), (2, 3)),
    case("conv_transpose", f(2, 9, 8, 4), ones(3, 2, 5, 4), 2, "same", output_padding=1),
    case("conv_transpose", f(2, 9, 4), ones(3, 5, 4), 1, dilation_rate=2),
    case("conv_transpose", f(2, 4, 9), ones(3, 5, 4), 2, **FIRST),
    case("max_pool", f(2, 9, 8, 4), 2),
    case("max_pool", f(2, 4, 9), 3, 1, "SAME", "channels_first"),
    case("average_pool", f(2, 9, 8, 4), (2, 3), strides=1, padding="same"),
    case("average_pool", h(2, 5, 6, 7, 2), 2, (1, 2, 3)),
    case("adaptive_max_pool", f(2, 4, 9, 8), (3, 5), "channels_first"),
    case("adaptive_average_pool", f(2, 4, 9), (4,), "channels_first"),
    case("unfold", f(2, 3, 9, 8), 2),
    case("unfold", f(2, 3, 9, 8), (2, 3), dilation=2, padding=1, stride=(2, 1)),
    case("fold", f(2, 16, 9), (4, 4), 2),
    case("fold", f(2, 16, 25), 4, 2, padding=1),
    case("depth_to_space", f(2, 4, 6, 8), 2),
    case("depth_to_space", f(2, 8, 4, 6), 2, **FIRST),
    case("space_to_depth", f(2, 4, 6, 8), 2),
    case("space_to_depth", f(2, 8, 4, 6), 2, **FIRST),
]

LOSSES = [
    *(
        case(name, *args, from_logits=logits)
        for logits in (False, True)
        for name, args in (
            ("binary_crossentropy", (f(2, 6), f(2, 6))),
            ("binary_crossentropy", (ones(2, 6), h(2, 6))),
            ("categorical_crossentropy", (f(2, 6), f(2, 6))),
            ("sparse_categorical_crossentropy", (i(2), f(2, 6))),
            ("sparse_categorical_crossentropy", (i(2, 3, 1), f(2, 3, 6))),
        )
    ),
    case("ctc_loss", i(2, 3), h(2, 7, 5), i(2), i(2)),
    case("ctc_decode", f(2, 7, 5), i(2)),
    case("ctc_decode", f(2, 7, 5), i(2), strategy="beam_search", top_paths=3),
    case("psnr", f(2, 4, 4, 3), f(2, 4, 4, 3), 255.0),
    case("one_hot", i(2, 3), 5),
    case("one_hot", i(2, 3), 5, axis=1, dtype="bool"),
    case("one_hot", i(2, 3), 5, sparse=True),
    case("multi_hot", i(2, 3), 5),
    case("multi_hot", i(3), 5),
    case("multi_hot", i(2, 3), 5, dtype="bool"),
    case("polar", f(2, 6), f(2, 6)),
]

NORMALISATION = [
    case("moments", f(2, 4, 5, 3), axes=[1, 2]),
    case("moments", h(2, 4, 5, 3), axes=[-1], keepdims=True),
    case("batch_normalization", f(2, 4, 5, 3), ones(3), ones(3), -1),
    case("batch_normalization", h(2, 4, 5), ones(4), ones(4), 1, ones(4), ones(4)),
    case("normalize", f(2, 6)),
    case("normalize", h(2, 3, 6), axis=(1, 2)),
    case("normalize", f(2, 6), order=3),
    case("rms_normalization", f(2, 6)),
    case("rms_normalization", h(2, 6), ones(6)),
    case("layer_normalization", f(2, 6)),
    case("layer_normalization", h(2, 3, 6), ones(3), ones(3), axis=1),
    case("layer_normalization", f(2, 3, 6), ones(3), axis=1, rms_scaling=True),
    case("layer_normalization", f(2, 3, 6), ones(6), rms_scaling=True),
]

_OPEN_SLICES = "-1" in inspect.getsource(keras.src.ops.core.Slice)
_HAS_REDUCTION = "reduction" in inspect.signature(keras.ops.scatter_update).parameters

CORE = [
    case("cast", f(2, 6), "float16"),
    case("cast", f(2, 6), "float32"),
    case("saturate_cast", f(2, 6), "uint8"),
    case("convert_to_tensor", f(2, 6)),
    case("convert_to_tensor", i(2, 6), dtype="float16"),
    case("slice", f(2, 6), (0, 1), (2, 3)),
    *([case("slice", f(2, 6), (1, 2), (-1, -1))] if _OPEN_SLICES else []),
    case("slice", f(2, 6), i(2), (1, 3)),
    case("slice_update", f(2, 6), (0, 1), ones(2, 2)),
    case("slice_update", f(2, 6), i(2), f(1, 3)),
    case("scatter", i(3, 2), f(3), (4, 5)),
    case("scatter", [[0], [2], [0]], f(3, 5), (4, 5)),
    case("scatter_update", f(4, 5), [[0, 1], [2, 3]], [1.0, 2.0]),
    *(
        case("scatter_update", h(4, 5), i(2, 2), ones(2), reduction=fn)
        for fn in ("add", "mul", "max", "min")
        if _HAS_REDUCTION
    ),
    case("stop_gradient", f(2, 6)),
    case("unstack", f(2, 3, 4)),
    case("unstack", f(2, 3, 4), 3, axis=-2),
    case("rearrange", f(2, 4, 6, 3), "b h w c -> b (h w) c"),
    case("rearrange", f(2, 4, 6, 3), "b (h i) (w j) c->b h w (c i j)", i=2, j=3),
]

CASES = present([*ELEMENTWISE, *WINDOWS, *LOSSES, *NORMALISATION, *CORE])


@pytest.mark.parametrize("one", CASES, ids=str)
def test_every_operation_has_keras_shapes_and_dtypes(one: Case) -> None:
    assert "unknown" not in ops_in(graph(one))


def test_every_public_function_of_nn_has_a_case() -> None:
    nn = keras.ops.nn
    public = {name for name in dir(nn) if inspect.isfunction(getattr(nn, name))}
    assert public - {"dot_product_attention", "glu"} <= {one.name for one in CASES}


# -- operations of other modules -----------------------------------------------------------


@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize("ceiling", [None, 6, 3.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_relu_function_keeps_the_dtype(
    slope: float, ceiling: float | None, threshold: float
) -> None:
    made = graph_with(keras.activations.relu, h(2, 6), slope, ceiling, threshold)
    assert set(ops_in(made)) <= {"unary", "binary", "select"}


def test_mish_function_keeps_the_dtype() -> None:
    mish = keras.src.activations.activations.Mish()
    assert ops_in(graph_with(mish, h(2, 6))) == ["unary"]


def test_fake_quantisation() -> None:
    """Per element: a clip and a floor; minus, minus, plus a half; two products."""
    quantise = getattr(keras.quantizers, "fake_quant_with_min_max_vars", None)
    if quantise is not None:
        found = cost_of(graph_with(quantise, f(2, 6), ones(6), ones(6), axis=1))
        assert (found.comparisons, found.adds, found.muls) == (12 * 3, 12 * 3, 12 * 2)


# -- contractions: literal loops -------------------------------------------------------------


def test_grouped_convolution_macs() -> None:
    """9×8 under a 3×2 kernel has 7×7 positions; each of 6 filters reads 2 of 4 channels.

    Written as a program, because Keras 3.15 refuses a symbolic grouped ``ops.conv``.
    """
    layer = Layer("op:Conv", "conv", {"strides": 1, "padding": "valid", "dilation_rate": 1}, 0)
    kernel = Constant(TensorType((3, 2, 2, 6), "float64"), "kernel")
    start = ProgramInput(0, "x", (2, 9, 8, 4), "float32")
    step = Step(layer, (Ref(0), kernel), {}, (1,), ())
    program = Program("grouped", (start,), (step,), Ref(1))
    made = check(lower(program, LOWERINGS, (TensorType((2, 9, 8, 4), "float32"),)))
    found = cost_of(made)
    loops = itertools.product(range(2), range(7), range(7), range(3 * 2), range(2), range(6))
    assert found.macs == found.macs_valid == sum(1 for _ in loops)
    assert made.values[made.outputs[0]] == TensorType((2, 7, 7, 6), "float32")


def test_same_convolution_counts_padded_taps_nominally_only() -> None:
    """5 positions at stride 1, 3 taps: 15 in all, and one lands outside at either end."""
    found = cost("conv", f(2, 5, 4), ones(3, 4, 7), padding="same")
    assert found.macs == 2 * 15 * 4 * 7
    assert found.macs_valid == 2 * 13 * 4 * 7


def test_depthwise_and_separable_macs() -> None:
    """9×8 under 3×3 has 7×6 positions: 9 taps for each of 4·2 channels; then 8 → 5."""
    deep = cost("depthwise_conv", f(2, 9, 8, 4), ones(3, 3, 4, 2))
    both = cost("separable_conv", f(2, 9, 8, 4), ones(3, 3, 4, 2), ones(1, 1, 8, 5))
    assert deep.macs == 2 * 42 * 9 * 8
    assert both.macs == deep.macs + 2 * 42 * 8 * 5


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_convolution_counts_input_positions(stride: int) -> None:
    """9×8 inputs × 3×2 taps × 4 → 5 channels, whatever the stride."""
    found = cost("conv_transpose", f(2, 9, 8, 4), ones(3, 2, 5, 4), stride)
    assert found.macs == 2 * 72 * 6 * 4 * 5


# -- elementwise counts ----------------------------------------------------------------------


def test_moments_count_the_mean_once() -> None:
    """10 numbers: 9 adds and a division; 10 differences, 10 squares, 9 adds and a division."""
    found = cost("moments", f(1, 10), axes=[1])
    assert (found.adds, found.muls, found.divs) == (9 + 10 + 9, 10, 2)


def test_pooling_windows() -> None:
    """4·4 windows of 2·2 in 4 channels: 3 comparisons each."""
    assert cost("max_pool", f(1, 9, 8, 4), 2).comparisons == 3 * 16 * 4


def test_crossentropies_by_hand() -> None:
    """2 rows of 6. Binary: two logs, 1-p, 1-t and their sum, two products, a clip.

    Categorical from logits: a log-softmax (5 comparisons, 6 exp, 6 + 5 + 6 additions, 1 log a
    row), 6 products and 5 additions a row.
    """
    if exists("binary_crossentropy"):
        found = cost("binary_crossentropy", f(2, 6), f(2, 6))
        assert (found.transcendentals, found.adds, found.muls) == (24, 36, 24)
        assert found.comparisons == 24
    logits = cost("categorical_crossentropy", f(2, 6), f(2, 6), from_logits=True)
    assert (logits.transcendentals, logits.comparisons) == (2 * 7, 2 * 5)
    assert (logits.adds, logits.muls) == (2 * (17 + 5), 2 * 6)


def test_scatter_adds_each_value_and_an_update_only_writes() -> None:
    assert cost("scatter", i(3, 2), f(3), (4, 5)).adds == 3
    assert cost("slice_update", f(2, 6), (0, 1), ones(2, 2)).flops == 0
    if _HAS_REDUCTION:
        found = cost("scatter_update", f(4, 5), i(2, 2), ones(2), reduction="mul")
        assert (found.muls, found.flops) == (2, 2)


def test_unfold_copies_and_fold_adds_every_patch_element() -> None:
    if exists("fold"):
        assert cost("unfold", f(2, 3, 9, 8), 2).flops == 0
        assert cost("fold", f(2, 16, 9), (4, 4), 2).adds == 2 * 16 * 9


def test_rearrange_copies_only_where_axes_move() -> None:
    if exists("rearrange"):
        views = graph(case("rearrange", f(2, 4, 6, 3), "b h w c -> b (h w) c"))
        assert ops_in(views) == ["reshape"]
        moved = graph(case("rearrange", f(2, 4, 6), "b h c -> b (c h)"))
        assert ops_in(moved) == ["transpose", "reshape"]


def test_views_cost_nothing() -> None:
    assert ops_in(graph(case("stop_gradient", f(2, 6)))) == ["identity"]
    assert ops_in(graph(case("cast", f(2, 6), "float32"))) == ["identity"]


# -- what is left open or to the tracer -------------------------------------------------------


def _next(x: Any) -> Any:
    return x + 1


CALLABLES = [
    case("map", _next, f(4, 3)),
    case("scan", lambda p, q: (p + q, p), f(3), f(4, 3)),
    case("cond", In((), "bool"), lambda: keras.ops.ones((2,)), lambda: keras.ops.zeros((2,))),
    case("switch", i(), [_next, _next], f(2, 3)),
    case("while_loop", lambda x: x[0, 0] < 9, _next, [f(2, 3)]),
    case("fori_loop", 0, 3, lambda n, x: x + 1, f(2, 3)),
    case("vectorized_map", _next, f(2, 3)),
    case("associative_scan", lambda p, q: p + q, f(2, 3)),
    case("jvp", _next, (f(2, 3),), (f(2, 3),)),
]


def _symbolic(one: Case) -> bool:
    """Whether the installed Keras lets this function be called on symbolic tensors."""
    source = inspect.getsource(op(one.name))
    return "symbolic" in source or "Cond()" in source


@pytest.mark.parametrize("one", list(filter(_symbolic, present(CALLABLES))), ids=str)
def test_callables_are_the_tracers(one: Case) -> None:
    """Additions by hand: each function adds once per element that it is given; its derivative
    is another addition. Keras cannot call a model whose while_loop has a list of one variable,
    and Keras 3.8 none with an associative_scan.
    """
    read = graph(one)
    unknown = [node.attrs["reason"] for node in read.nodes if node.op == "unknown"]
    if one.name in ("while_loop", "associative_scan") and unknown:
        assert len(unknown) == 1 and "cannot be called" in unknown[0]
        return
    assert unknown == []
    added = sum(cost.adds for cost in price(read))
    assert added == {
        "map": 4 * 3, "scan": 4 * 3, "cond": 0, "switch": 6, "while_loop": 6, "fori_loop": 3 * 6,
        "vectorized_map": 6, "associative_scan": 3, "jvp": 2 * 6,
    }[one.name]  # fmt: skip


def test_gated_linear_unit_halves_an_axis() -> None:
    """Half of 6 features are gates; Keras 3.8 declares all 6, which is no guess of ours."""
    for one in (case("glu", h(2, 6)), case("glu", f(2, 6, 4, 3), axis=2)):
        made = ops_in(graph(one))
        assert made in (["unknown"], ["slice", "slice", "unary", "binary"])


def test_adaptive_pooling_whose_rank_keras_misdeclares_is_no_guess() -> None:
    """Keras 3.15 declares (2, 9, 3, 3, 4) for a (2, 9, 8, 4) pooled to 3×3, channels last."""
    if exists("adaptive_max_pool"):
        made = graph(case("adaptive_max_pool", f(2, 9, 8, 4), (3, 3), "channels_last"))
        assert ops_in(made) in (["unknown"], ["adaptive_pool"])


def test_empty_axes_do_not_crash() -> None:
    for one in (
        case("cast", f(2, 0, 4), "float16"),
        case("layer_normalization", f(0, 4)),
        case("softmax", f(2, 0)),
        case("moments", f(2, 0), axes=[1]),
    ):
        if exists(one.name):
            cost_of(graph(one))


def test_an_unsigned_image_saturates() -> None:
    assert ops_in(graph_with(op("saturate_cast"), u(2, 4), "int8")) == ["unary", "cast"]
