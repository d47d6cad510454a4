"""MACs of traced contractions and their gradients, against counters made of nested loops.

The gradients of a convolution multiply the same pairs of input and kernel elements as the
convolution itself: x of a window with dy of its position for the kernel, dy of a position with the
kernel for x. So the loops over every product of the forward convolution count all three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.frontends.lowering.ops_support import In, f, i
from tests.frontends.tf_support import lowered, steps_in, unknown_in
from tests.oracles import loops
from tests.support import cost_of

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
Shape = tuple[int, ...]
Macs = tuple[int, int]


def macs(function: Callable[..., Any], *inputs: In) -> Macs:
    """Nominal and valid MACs of a function, all of which is read."""
    graph = lowered(function, *inputs)
    assert not unknown_in(graph)
    cost = cost_of(graph)
    return cost.macs, cost.macs_valid


def gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """The gradients of a function at its operands."""

    def derived(*xs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(xs)
            y = function(*xs)
        return list(tape.gradient(y, list(xs)))

    return derived


def gradient(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The gradient of a function at one of its operands."""
    return lambda *xs: gradients(function)(*xs)[at]


@st.composite
def windows(draw: Any, rank: int, dilated: bool = False, grouped: bool = True) -> Any:
    """Input, kernel, strides, padding, dilation of a convolution that has an output."""

    def each(low: int, high: int) -> Shape:
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    most = {1: 12, 2: 8, 3: 6}[rank]
    sizes, taps = each(3, most), each(1, 3)
    ones = (1,) * rank
    strides, dilation = (ones, each(1, 3)) if dilated else (each(1, 3), ones)
    padding = draw(st.sampled_from(["same", "valid"]))
    groups = draw(st.integers(1, 3)) if grouped else 1
    cin, cout = draw(st.integers(1, 2)), draw(st.integers(1, 2)) * groups
    x, kernel = (draw(st.integers(1, 2)), *sizes, cin * groups), (*taps, cin, cout)
    reach = [(k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True)]
    assume(padding == "same" or all(r <= n for r, n in zip(reach, sizes, strict=True)))
    return x, kernel, strides, padding, dilation, groups


def convolution(case: Any) -> Callable[..., Any]:
    _, _, strides, padding, dilation, _ = case
    return lambda x, k: tf.nn.convolution(
        x, k, strides=list(strides), padding=padding.upper(), dilations=list(dilation)
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_and_both_gradients(rank: int) -> None:
    @FEW
    @given(case=windows(rank, grouped=rank == 2))
    def agrees(case: Any) -> None:
        x, kernel, strides, padding, dilation, groups = case
        nominal, valid, _ = loops.conv_macs(x, kernel, strides, padding, dilation, groups)
        forward = convolution(case)
        assert macs(forward, f(*x), f(*kernel)) == (nominal, valid)
        assert macs(gradient(forward, 0), f(*x), f(*kernel)) == (nominal, valid)
        assert macs(gradient(forward, 1), f(*x), f(*kernel)) == (nominal, valid)

    agrees()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_dilated_convolutions_are_one_convolution_and_so_are_their_gradients(rank: int) -> None:
    """TensorFlow cuts them into blocks, over more positions than there are."""

    @FEW
    @given(case=windows(rank, dilated=True, grouped=False))
    def agrees(case: Any) -> None:
        x, kernel, strides, padding, dilation, groups = case
        nominal, valid, _ = loops.conv_macs(x, kernel, strides, padding, dilation, groups)
        forward = convolution(case)
        graph = lowered(forward, f(*x), f(*kernel))
        assert [node.op for node in steps_in(graph) if node.op != "reshape"] == ["conv"]
        assert macs(forward, f(*x), f(*kernel)) == (nominal, valid)
        assert macs(gradient(forward, 0), f(*x), f(*kernel)) == (nominal, valid)
        assert macs(gradient(forward, 1), f(*x), f(*kernel)) == (nominal, valid)

    agrees()


@FEW
@given(case=windows(2, grouped=False), multiplier=st.integers(1, 2), dilated=st.booleans())
def test_depthwise_convolutions_and_both_gradients(
    case: Any, multiplier: int, dilated: bool
) -> None:
    x, kernel, strides, padding, _, _ = case
    stride, dilation = strides[0], (1, 1)
    if dilated:
        stride, dilation = 1, (2, 3)
        assume(
            padding == "same"
            or all((k - 1) * 3 < n for k, n in zip(kernel[:2], x[1:3], strict=True))
        )
    kernel = (*kernel[:2], x[-1], multiplier)
    nominal, valid, _ = loops.depthwise_macs(x, kernel, stride, padding, dilation)

    def forward(image: Any, weights: Any) -> Any:
        return tf.nn.depthwise_conv2d(
            image, weights, [1, stride, stride, 1], padding.upper(), dilations=dilation
        )

    assert macs(forward, f(*x), f(*kernel)) == (nominal, valid)
    assert macs(gradient(forward, 0), f(*x), f(*kernel)) == (nominal, valid)
    assert macs(gradient(forward, 1), f(*x), f(*kernel)) == (nominal, valid)


@FEW
@given(case=windows(2, grouped=False))
def test_a_transposed_convolution_and_its_gradients(case: Any) -> None:
    """It is the gradient of a convolution, whose gradients are convolutions again."""
    x, kernel, strides, padding, _, _ = case
    nominal, valid, shape = loops.conv_macs(x, kernel, strides, padding)

    def forward(y: Any, weights: Any) -> Any:
        return tf.nn.conv2d_transpose(y, weights, x, strides, padding.upper())

    assert macs(forward, f(*shape), f(*kernel)) == (nominal, valid)
    assert macs(gradient(forward, 0), f(*shape), f(*kernel)) == (nominal, valid)
    assert macs(gradient(forward, 1), f(*shape), f(*kernel)) == (nominal, valid)


def test_explicit_padding_and_the_general_convolution() -> None:
    pads = [(1, 0), (2, 1)]
    nominal, valid, _ = loops.conv_macs((1, 6, 5, 2), (3, 2, 2, 4), (2, 1), pads)
    explicit = [[0, 0], *map(list, pads), [0, 0]]
    found = macs(lambda x, k: tf.nn.conv2d(x, k, [2, 1], explicit), f(1, 6, 5, 2), f(3, 2, 2, 4))
    assert found == (nominal, valid)
    general = macs(
        lambda x, k: tf.raw_ops.Conv(
            input=x,
            filter=k,
            strides=[1, 1, 1, 2, 1],
            padding="VALID",
            data_format="CHANNELS_FIRST",
            groups=2,
        ),
        f(1, 4, 6, 5, 5),
        f(2, 3, 2, 2, 6),
    )
    shape, kernel = (1, 4, 6, 5, 5), (2, 3, 2, 2, 6)
    wanted = loops.conv_macs(shape, kernel, (1, 2, 1), groups=2, data_format="channels_first")
    assert general == wanted[:2]


def test_blocks_that_are_no_dilated_convolution_are_moved() -> None:
    """Read by anything else, a tensor in blocks is what TensorFlow makes of it."""
    graph = lowered(lambda x: tf.space_to_batch(x, [2], [[0, 1]]) * x[:1, :1], f(2, 5, 3))
    assert {node.attrs.get("fn") for node in steps_in(graph)} == {
        "space_to_batch", None, "multiply"
    }  # fmt: skip
    both = lowered(
        lambda x, k: tf.batch_to_space(
            tf.nn.relu(tf.nn.conv1d(tf.space_to_batch(x, [2], [[0, 1]]), k, 1, "VALID")),
            [2],
            [[0, 1]],
        ),
        f(2, 7, 3),
        f(2, 3, 4),
    )
    assert [n.attrs.get("fn") for n in steps_in(both) if n.op == "rearrange"] == [
        "space_to_batch", "batch_to_space"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("left", "right", "turned"),
    [((4, 3), (3, 5), (False, False)), ((3, 4), (5, 3), (True, True)), ((4, 3), (5, 3), (0, 1))],
)
def test_matrix_products_and_gradients(left: Shape, right: Shape, turned: Any) -> None:
    """Every product once, forward and for either gradient."""
    wanted = sum(1 for _ in range(4) for _ in range(3) for _ in range(5))

    def forward(x: Any, y: Any) -> Any:
        return tf.matmul(x, y, transpose_a=bool(turned[0]), transpose_b=bool(turned[1]))

    assert macs(forward, f(*left), f(*right)) == (wanted, wanted)
    assert macs(gradients(forward), f(*left), f(*right)) == (2 * wanted, 2 * wanted)
    sparse = tf.raw_ops.SparseMatMul
    assert macs(
        lambda x, y: sparse(a=x, b=y, transpose_a=bool(turned[0]), transpose_b=bool(turned[1])),
        f(*left),
        f(*right),
    ) == (wanted, wanted)


@pytest.mark.parametrize("op", ["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"])
def test_batched_products(op: str) -> None:
    more = {"Tout": tf.float32} if op == "BatchMatMulV3" else {}
    one, two = ((2, 3, 4), (2, 5, 4)) if op == "BatchMatMul" else ((2, 3, 4), (1, 5, 4))
    found = macs(
        lambda x, y: getattr(tf.raw_ops, op)(x=x, y=y, adj_y=True, **more), f(*one), f(*two)
    )
    assert found == (2 * 3 * 4 * 5,) * 2


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("abc,cd->abd", ((2, 3, 4), (4, 5))), ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5)))],
)
def test_einsum_and_its_gradients(equation: str, shapes: Any) -> None:
    wanted = loops.einsum_macs(equation, *shapes)
    inputs = [f(*shape) for shape in shapes]

    def forward(x: Any, y: Any) -> Any:
        return tf.einsum(equation, x, y)

    assert macs(forward, *inputs) == (wanted, wanted)
    assert macs(gradients(forward), *inputs) == (2 * wanted, 2 * wanted)


def test_a_sparse_matrix_multiplies_what_it_stores() -> None:
    """Seven stored elements, each with a row of five."""

    def forward(where: Any, values: Any, dense: Any) -> Any:
        sparse = tf.SparseTensor(where, values, [4, 6])
        return tf.sparse.sparse_dense_matmul(sparse, dense)

    assert macs(forward, In((7, 2), "int64"), f(7), f(6, 5)) == (35, 35)


def test_the_weight_gradient_moves_no_patches() -> None:
    """Bytes: x and dy are read, the gradient is written, in float32."""
    x, kernel = f(2, 9, 8, 4), f(3, 3, 4, 6)
    graph = lowered(gradient(lambda a, k: tf.nn.conv2d(a, k, 1, "VALID"), 1), x, kernel)
    convs = [node for node in graph.nodes if node.op == "conv"]
    read = sum(graph.values[v].size for v in convs[0].operands)
    assert (len(convs), read) == (1, 2 * 9 * 8 * 4 + 2 * 7 * 6 * 6)
    assert graph.values[convs[0].outputs[0]].size == 3 * 3 * 4 * 6


def test_a_recurrent_step_and_its_gradients() -> None:
    """Five turns of (2, 4) @ (4, 4); the backward loop has two products a turn."""

    def forward(x: Any, w: Any) -> Any:
        return tf.while_loop(
            lambda at, state: at < 5, lambda at, state: (at + 1, tf.tanh(state @ w)), (0, x)
        )[1]

    turn = 2 * 4 * 4
    assert macs(forward, f(2, 4), f(4, 4)) == (5 * turn,) * 2
    assert macs(gradients(forward), f(2, 4), f(4, 4)) == (3 * 5 * turn,) * 2


def test_indices_of_a_lookup_and_its_gradient_have_no_macs() -> None:
    def lookup(table: Any, places: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(table)
            y = tf.reduce_sum(tf.gather(table, places) ** 2)
        return tf.convert_to_tensor(tape.gradient(y, table))

    assert macs(lookup, f(7, 3), i(2, 4)) == (0, 0)


def test_gradients_that_are_given_tensors_for_sizes() -> None:
    """The newer operations take the input or the kernel itself where the older took its shape."""
    ops, more = tf.raw_ops, {"strides": [1, 2, 2, 1], "padding": "SAME"}
    x, kernel, dy = (2, 7, 6, 4), (3, 3, 2, 6), (2, 4, 3, 6)
    wanted = loops.conv_macs(x, kernel, 2, "same", groups=2)[:2]

    def to_input(image: Any, weights: Any, above: Any) -> Any:
        return ops.Conv2DBackpropInputV2(input=image, filter=weights, out_backprop=above, **more)

    def to_filter(image: Any, weights: Any, above: Any) -> Any:
        return ops.Conv2DBackpropFilterV2(input=image, filter=weights, out_backprop=above, **more)

    assert macs(to_input, f(*x), f(*kernel), f(*dy)) == wanted
    assert macs(to_filter, f(*x), f(*kernel), f(*dy)) == wanted
