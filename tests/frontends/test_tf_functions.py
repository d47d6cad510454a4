"""Functions of TensorFlow as models call them: loops, lists, branches, sparse rows, open sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from costlens.cost.cost import Cost
from tests.frontends.lowering.ops_support import In, f, graph_with, i
from tests.frontends.test_tf_contract import gradients
from tests.frontends.tf_support import lowered, steps_in, unknown_in
from tests.support import cost_of

IMAGE = f(2, 9, 8, 3)


def cost(function: Callable[..., Any], *inputs: In) -> Cost:
    """What a function costs, all of which is read."""
    graph = lowered(function, *inputs)
    assert not unknown_in(graph)
    return cost_of(graph)


# -- lists and loops ------------------------------------------------------------------------


def test_items_written_one_by_one_are_all_stacked() -> None:
    def stacked(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 3, element_shape=(4,))
        for place in range(3):
            array = array.write(place, x * float(place + 2))
        return array.stack()

    graph = lowered(stacked, f(4))
    (joined,) = [node for node in graph.nodes if node.op == "concat"]
    assert len(joined.operands) == 3
    assert cost_of(graph).muls == 3 * 4


def test_a_loop_reads_and_writes_an_array() -> None:
    """Five steps of a product; the gradient has two, and needs none of the first again."""

    def scanned(x: Any, w: Any) -> Any:
        steps = tf.TensorArray(tf.float32, 5, element_shape=(2, 3)).unstack(x)
        made = tf.TensorArray(tf.float32, 5, element_shape=(2, 4))

        def body(at: Any, array: Any) -> Any:
            return at + 1, array.write(at, steps.read(at) @ w)

        return tf.while_loop(lambda at, _: at < 5, body, (0, made))[1].stack()

    assert cost(scanned, f(5, 2, 3), f(3, 4)).macs == 5 * 2 * 3 * 4
    assert cost(gradients(scanned), f(5, 2, 3), f(3, 4)).macs == 2 * 5 * 2 * 3 * 4


def test_arrays_are_gathered_split_and_concatenated() -> None:
    def rejoined(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 3, element_shape=(2, 4)).split(x, [2, 2, 2])
        return array.concat()

    def picked(x: Any) -> Any:
        return tf.TensorArray(tf.float32, 5, element_shape=(4,)).unstack(x).gather([0, 3])

    assert lowered(rejoined, f(6, 4)).outputs
    assert [node.op for node in steps_in(lowered(picked, f(5, 4)))] == ["gather"]


def test_a_stack_is_pushed_and_popped() -> None:
    def swapped(x: Any, y: Any) -> Any:
        ops = tf.raw_ops
        empty = ops.EmptyTensorList(
            element_shape=[4], max_num_elements=-1, element_dtype=tf.float32
        )
        both = ops.TensorListPushBack(
            input_handle=ops.TensorListPushBack(input_handle=empty, tensor=x), tensor=y * 2.0
        )
        rest, last = ops.TensorListPopBack(
            input_handle=both, element_shape=[4], element_dtype=tf.float32
        )
        _, first = ops.TensorListPopBack(
            input_handle=rest, element_shape=[4], element_dtype=tf.float32
        )
        return last, first

    graph = lowered(swapped, f(4), f(4))
    assert graph.outputs[1] == graph.inputs[0]
    assert cost_of(graph).muls == 4


def test_the_costliest_branch_counts() -> None:
    def either(x: Any, w: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x @ w, lambda: x + 1.0)

    def one_of(x: Any, w: Any) -> Any:
        branches = [lambda: x, lambda: x @ w @ w, lambda: x @ w]
        return tf.switch_case(tf.cast(tf.reduce_sum(x), tf.int32), branches)

    assert cost(either, f(2, 3), f(3, 3)).macs == 2 * 3 * 3
    assert cost(one_of, f(2, 3), f(3, 3)).macs == 2 * 2 * 3 * 3


def test_a_branch_keeps_what_its_gradient_reads() -> None:
    def either(x: Any, w: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.tanh(x @ w), lambda: x)

    assert cost(gradients(either), f(2, 3), f(3, 3)).macs == 3 * 2 * 3 * 3


# -- sizes that the data decides ------------------------------------------------------------


def test_what_reads_an_open_size_is_unknown_and_the_rest_is_read() -> None:
    def masked(x: Any, w: Any) -> Any:
        kept = tf.boolean_mask(x, tf.reduce_sum(x, -1) > 0)
        return tf.reduce_sum(kept) + tf.reduce_sum(x @ w)

    graph = lowered(masked, f(5, 3), f(3, 4))
    assert cost_of(graph).macs == 5 * 3 * 4
    assert any("Where" in reason for reason in unknown_in(graph))


# -- what an operation costs, by hand --------------------------------------------------------


def test_max_pooling_and_its_gradient() -> None:
    """Of four elements three comparisons, twice; every gradient is added once."""
    outputs = 2 * 4 * 4 * 3
    found = cost(gradients(lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID")), IMAGE)
    assert (found.comparisons, found.adds) == (2 * 3 * outputs, outputs)


def test_the_gradient_of_average_pooling() -> None:
    """One division a gradient, then an addition for each element of its window of six."""
    outputs = 2 * 5 * 4 * 3
    found = cost(gradients(lambda x: tf.nn.avg_pool2d(x, (3, 2), 2, "SAME")), IMAGE)
    assert (found.divs, found.adds) == (outputs, 6 * outputs)


def test_the_gradient_of_resizing() -> None:
    """Four weighted additions of every bilinear element, one of every nearest."""
    made = 2 * 12 * 10 * 3
    for method, adds, muls in (("bilinear", 4 * made, 4 * made), ("nearest", made, 0)):
        found = cost(gradients(lambda x, m=method: tf.image.resize(x, (12, 10), m)), IMAGE)
        assert (found.adds, found.muls, found.macs) == (adds, muls, 0)


def test_the_gradient_of_a_normalisation() -> None:
    """x̂ (2), dβ and dγ (1 and 2), dx (4) per element, less one addition per channel and sum."""
    n, channels = 2 * 9 * 8 * 3, 3
    found = cost(
        lambda dy, x, gamma, mean, variance: tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=dy,
            x=x,
            scale=gamma,
            reserve_space_1=mean,
            reserve_space_2=variance,
            reserve_space_3=mean,
            is_training=True,
        )[0],
        IMAGE,
        IMAGE,
        f(3),
        f(3),
        f(3),
    )
    per_element = Cost(adds=1 + 1 + 1 + 2, muls=1 + 1 + 1 + 1)  # x - m, sums, dy - … - …; …
    assert found.adds == per_element.adds * n - 2 * channels + channels
    assert found.muls == per_element.muls * n + channels
    assert (found.divs, found.transcendentals) == (2 * channels, channels)


def test_losses_with_their_gradients() -> None:
    """Rows of five: log-softmax (5 - 1 comparisons, 5 + 4 + 5 additions, 6 transcendentals)."""
    rows, n = 4, 4 * 5
    dense = cost(lambda x, t: tf.nn.softmax_cross_entropy_with_logits(t, x), f(4, 5), f(4, 5))
    assert dense.adds == 3 * n - rows + (n - rows) + n  # Σ t·log p; softmax(x) - t
    assert (dense.muls, dense.transcendentals) == (n, n + rows + n)
    found = cost(lambda x, t: tf.nn.sparse_softmax_cross_entropy_with_logits(t, x), f(4, 5), i(4))
    assert found.adds == 3 * n - rows + rows
    assert (found.muls, found.transcendentals) == (0, n + rows + n)


def test_local_response_normalisation() -> None:
    """A square, four additions of five neighbours, α and k, a power, a product."""
    n = 2 * 9 * 8 * 3
    found = cost(lambda x: tf.nn.local_response_normalization(x, depth_radius=2), IMAGE)
    assert (found.adds, found.muls, found.transcendentals) == (5 * n, 3 * n, n)


def test_segments_and_sparse_rows() -> None:
    """An addition for each element of the data; a mean divides every segment."""
    found = cost(lambda x, s: tf.math.unsorted_segment_sum(x, s, 4), f(6, 3), i(6))
    assert found == Cost(adds=18, bytes_read=found.bytes_read, bytes_written=found.bytes_written)
    mean = cost(
        lambda x, at, s: tf.sparse.segment_mean(x, at, s, num_segments=4), f(6, 3), i(5), i(5)
    )
    assert (mean.adds, mean.divs) == (15, 12)


def test_mirrored_borders_are_added_back() -> None:
    found = cost(gradients(lambda x: tf.pad(x, [[0, 0], [1, 2]], "REFLECT")), f(2, 4))
    assert found.adds == 2 * 3


def test_contrast_and_colours() -> None:
    """(x - mean) · factor + mean on every element, the mean over 72 positions."""
    n, lanes = 2 * 9 * 8 * 3, 2 * 3
    found = cost(lambda x: tf.image.adjust_contrast(x, 0.5), IMAGE)
    assert (found.adds, found.muls, found.divs) == (n - lanes + 2 * n, n, lanes)
    assert cost(lambda x: tf.image.adjust_saturation(x, 0.5), IMAGE).macs == 0


def test_a_broadcast_gradient_is_summed_over_its_axes() -> None:
    """dy of (5, 2, 3) to (3,): ten rows; and to (2, 1): three columns."""
    found = cost(gradients(lambda x, y, z: (x + y) + z), f(5, 2, 3), f(3), f(2, 1))
    assert found.adds == (30 - 3) + (30 - 2)


def test_broadcast_axes_are_known_while_reading() -> None:
    def summed(x: Any) -> Any:
        _, axes = tf.raw_ops.BroadcastGradientArgs(s0=[5, 2, 3], s1=[2, 1])
        return tf.reduce_sum(x, axes)

    assert cost(summed, f(5, 2, 3)).adds == 30 - 2


# -- as a layer, and the rest of the vocabulary ----------------------------------------------


class _Function(keras.layers.Layer):
    """A custom layer that calls a function of TensorFlow."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, *xs: Any) -> Any:
        return self.function(*xs)


def test_a_custom_layer_is_read_through_its_operations() -> None:
    """Types are compared with what Keras says that the layer gives."""

    def dilated(x: Any, k: Any) -> Any:
        return tf.nn.relu(tf.nn.convolution(x, k, padding="SAME", dilations=[3]))

    graph = graph_with(_Function(dilated), f(2, 11, 3), f(3, 3, 5))
    assert not unknown_in(graph)
    assert cost_of(graph).macs == 2 * 11 * 3 * 3 * 5


PUBLIC: list[tuple[Callable[..., Any], list[In]]] = [
    (lambda x: tf.signal.stft(x, 16, 8), [f(2, 64)]),
    (lambda x: tf.signal.frame(x, 16, 8), [f(2, 64)]),
    (tf.signal.dct, [f(2, 64)]),
    (lambda x: tf.image.ssim(x, x, 1.0), [f(2, 16, 16, 3)]),
    (tf.image.sobel_edges, [IMAGE]),
    (tf.image.total_variation, [IMAGE]),
    (tf.image.rgb_to_grayscale, [IMAGE]),
    (tf.image.rgb_to_yuv, [IMAGE]),
    (lambda x: tf.image.resize(x, (5, 5), antialias=True), [IMAGE]),
    (lambda x: tf.image.crop_to_bounding_box(x, 1, 1, 4, 4), [IMAGE]),
    (tf.image.rot90, [IMAGE]),
    (tf.image.flip_left_right, [IMAGE]),
    (lambda x: tf.image.random_brightness(x, 0.2), [IMAGE]),
    (tf.image.per_image_standardization, [IMAGE]),
    (lambda x: tf.linalg.norm(x, axis=-1), [f(2, 5)]),
    (tf.linalg.pinv, [f(2, 5, 3)]),
    (lambda x: tf.linalg.lstsq(x, x), [f(2, 5, 3)]),
    (tf.linalg.trace, [f(2, 3, 3)]),
    (lambda x: tf.math.l2_normalize(x, -1), [f(2, 5)]),
    (lambda x: tf.math.reduce_logsumexp(x, -1), [f(2, 5)]),
    (lambda x: tf.math.top_k(x, 3)[0], [f(2, 5)]),
    (tf.sort, [f(2, 5)]),
    (tf.argsort, [f(2, 5)]),
    (lambda x: tf.nn.moments(x, [0, 1]), [f(2, 5)]),
    (lambda x: tf.nn.gelu(x, approximate=True), [f(2, 5)]),
    (tf.nn.silu, [f(2, 5)]),
    (lambda x: tf.nn.dropout(x, 0.5), [f(2, 5)]),
    (lambda x: tf.nn.erosion2d(x, tf.zeros((3, 3, 3)), [1] * 4, "SAME", "NHWC", [1] * 4), [IMAGE]),
    (lambda x: tf.random.stateless_normal((2, 5), [1, 2]) + x, [f(2, 5)]),
    (lambda x: tf.random.categorical(x, 3), [f(2, 5)]),
    (tf.random.shuffle, [f(6, 5)]),
    (lambda x: tf.one_hot(x, 5, axis=1), [i(2, 3)]),
    (lambda x: tf.sequence_mask(x, 7), [i(3)]),
    (lambda x: tf.histogram_fixed_width(x, [0.0, 1.0], 5), [f(9)]),
    (lambda x: tf.searchsorted([1.0, 2.0, 3.0], x), [f(5)]),
    (lambda x: tf.meshgrid(x, x), [f(5)]),
    (lambda x: tf.repeat(x, 3, axis=1), [f(2, 5)]),
    (lambda x: tf.vectorized_map(lambda row: row * 2.0, x), [f(4, 5)]),
    (lambda x: tf.map_fn(tf.sin, x), [f(4, 5)]),
    (lambda x: tf.scan(lambda total, row: total + row, x), [f(4, 5)]),
    (lambda x: tf.foldl(lambda total, row: total + row, x), [f(4, 5)]),
    (lambda x: tf.strings.to_hash_bucket_fast(x, 9), [In((4,), "string")]),
    (tf.quantization.fake_quant_with_min_max_args, [f(2, 5)]),
    (lambda x: tf.nn.embedding_lookup(x, [[1, 2], [3, 0]]), [f(5, 4)]),
    (lambda x: tf.tensor_scatter_nd_add(x, [[1], [2]], x[:2]), [f(5, 4)]),
    (tf.linalg.triangular_solve, [f(4, 4), f(4, 2)]),
    (lambda x: tf.nn.fractional_max_pool(x, 1.5)[0], [IMAGE]),
    (lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[0], [IMAGE]),
    (lambda x: tf.clip_by_norm(x, 1.0), [f(2, 5)]),
    (lambda x: tf.math.confusion_matrix(x, x, 4), [i(9)]),
    (lambda x: tf.roll(x, [1, 2], [0, 1]), [f(2, 5)]),
    (lambda x: tf.image.extract_patches(x, [1, 3, 3, 1], [1, 2, 2, 1], [1] * 4, "SAME"), [IMAGE]),
]


@pytest.mark.parametrize("number", range(len(PUBLIC)))
def test_public_functions_are_read(number: int) -> None:
    function, inputs = PUBLIC[number]
    assert not unknown_in(lowered(function, *inputs))


def test_python_that_a_graph_calls_is_unknown() -> None:
    graph = lowered(lambda x: tf.numpy_function(np.sin, [x], tf.float32) + x, f(2, 5))
    assert any("Python" in reason for reason in unknown_in(graph))


def test_a_function_that_is_only_a_definition_is_opened() -> None:
    """TensorFlow writes this loss with functions of the old kind, and loops inside."""
    graph = lowered(
        lambda x: tf.nn.ctc_loss([[1, 2]], x, [2], [5], logits_time_major=False), f(1, 5, 4)
    )
    assert len(graph.nodes) > 20
    assert any("loop" in reason for reason in unknown_in(graph))


def test_tables_and_generators() -> None:
    """What a resource holds is looked up, and numbers are drawn, for nothing.

    Drawn numbers are multiplied by their deviation and moved to their mean.
    """
    keys = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
    table = tf.lookup.StaticHashTable(keys, 0)
    generator = tf.random.Generator.from_seed(1)
    rows = tf.Variable(np.zeros((5, 3), "float32"))
    assert cost(table.lookup, In((4,), "string")).flops == 0
    assert cost(lambda x: tf.gather(rows, x), i(2, 4)).flops == 0
    assert cost(lambda x: generator.normal((4,)) * x, f(4)).flops == 3 * 4


def test_a_variable_of_its_own_is_one_constant_wherever_it_is_read() -> None:
    rows = tf.Variable(np.zeros((5, 3), "float32"))

    @tf.function
    def inner(x: Any) -> Any:
        return x @ rows + tf.reduce_sum(tf.gather(rows, [0, 2]))

    graph = lowered(lambda x: inner(x) + inner(x) + x @ rows, f(2, 5))
    assert [str(type_) for type_ in graph.constants.values()].count("float32[5, 3]") == 1
    assert "string" not in {type_.dtype for type_ in graph.constants.values()}
    assert cost_of(graph).macs == 3 * 2 * 5 * 3
