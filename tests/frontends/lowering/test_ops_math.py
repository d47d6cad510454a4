"""``keras.ops`` of math and linalg: norms by hand, factorisations opaque, shapes as Keras."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import keras
import numpy as np
import pytest

from costlens.errors import InputError
from tests.frontends.lowering.ops_support import (
    Case,
    In,
    case,
    cost,
    exists,
    f,
    graph,
    h,
    i,
    ops_in,
    present,
)

INF = float("inf")
VECTOR_ORDERS = (None, 1, 2, 3, 0, INF, -INF)
MATRIX_ORDERS = (None, "fro", "nuc", 1, -1, 2, -2, INF, -INF)
SQUARE = (
    "cholesky cholesky_inverse det eig eigh inv logdet lu_factor matrix_rank pinv qr svd".split()
)

MATH = [
    *(case(f"segment_{fn}", f(5, 3), i(5), num_segments=4) for fn in ("sum", "max", "min", "prod")),
    case("top_k", f(2, 6), 2),
    case("in_top_k", i(2), f(2, 6), 2),
    case("logsumexp", f(2, 6)),
    case("logsumexp", h(2, 3, 6), axis=(1, -1), keepdims=True),
    case("cdist", f(2, 3, 4), f(2, 5, 4)),
    case("cdist", i(3, 4), h(5, 4)),
    case("extract_sequences", f(2, 9), 3, 2),
    *(case(name, (f(2, 4, 6), f(2, 4, 6))) for name in ("fft", "fft2", "ifft2")),
    case("rfft", f(2, 6)),
    case("rfft", f(2, 6), 9),
    case("irfft", (f(2, 6), f(2, 6))),
    case("irfft", (f(2, 6), f(2, 6)), 7),
    case("stft", f(2, 64), 16, 8, 16),
    case("stft", f(2, 3, 64), 12, 5, 16, window=None, center=False),
    case("stft", f(2, 64), 16, 8, 16, window=np.ones(16)),
    case("istft", (f(2, 9, 9), f(2, 9, 9)), 16, 8, 16),
    case("istft", (f(2, 9, 9), f(2, 9, 9)), 12, 8, 16, length=50, window=None),
    case("istft", (f(2, 9, 9), f(2, 9, 9)), 16, 8, 16, center=False),
    *(case(name, x) for name in ("rsqrt", "erf", "erfc", "erfinv") for x in (f(2, 3), h(2, 3))),
    case("view_as_complex", f(2, 3, 2)),
    case("view_as_real", In((2, 3), "complex64")),
]

LINALG = [
    *(case(name, f(2, 4, 4)) for name in SQUARE),
    case("pinv", f(2, 4, 3)),
    case("qr", f(2, 4, 3), mode="complete"),
    case("qr", f(4, 3)),
    case("svd", f(2, 4, 3), full_matrices=False),
    case("svd", f(2, 4, 3), compute_uv=False),
    case("solve", f(2, 4, 4), f(2, 4)),
    case("solve_triangular", f(2, 4, 4), f(2, 4, 3), lower=True),
    case("lstsq", f(5, 3), f(5)),
    case("lstsq", f(5, 3), f(5, 2)),
    case("norm", f(6)),
    case("norm", f(2, 6), keepdims=True),
    case("norm", i(2, 6), axis=1),
    *(
        case("norm", h(2, 4, 5), ord=order, axis=1, keepdims=keep)
        for order, keep in itertools.product(VECTOR_ORDERS, (False, True))
    ),
    *(
        case("norm", f(2, 4, 5), ord=order, axis=axes, keepdims=keep)
        for order, axes, keep in itertools.product(MATRIX_ORDERS, ((1, 2), (-1, 0)), (False, True))
    ),
]

CASES = present([*MATH, *LINALG])


@pytest.mark.parametrize("one", CASES, ids=str)
def test_every_operation_has_keras_shapes_and_dtypes(one: Case) -> None:
    assert "unknown" not in ops_in(graph(one))


def test_every_public_function_has_a_case() -> None:
    for module in (keras.src.ops.math, keras.src.ops.linalg):
        public = {
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and exists(name)
        }
        assert public - {"jvp"} <= {one.name for one in CASES}


@pytest.mark.parametrize("one", present(case(name, f(2, 4, 4)) for name in SQUARE), ids=str)
def test_factorisations_are_opaque(one: Case) -> None:
    assert ops_in(graph(one)) == ["opaque"]


def test_matrix_norms_are_reductions() -> None:
    """A 4×5. Column sums: 3 additions in each of 5, then 4 comparisons; row sums 4 in each of 4,
    then 3. Frobenius: 20 squares, 19 additions, a root."""
    columns = cost("norm", f(4, 5), ord=1, axis=(0, 1))
    assert (columns.adds, columns.comparisons, columns.muls) == (15, 4, 0)
    rows = cost("norm", f(4, 5), ord=INF, axis=(0, 1))
    assert (rows.adds, rows.comparisons) == (4 * 4, 3)
    frobenius = cost("norm", f(4, 5))
    assert (frobenius.muls, frobenius.adds, frobenius.transcendentals) == (20, 19, 1)


def test_vector_norms_are_reductions() -> None:
    """6 numbers. p = 3: 6 powers, 5 additions, a root; ∞: 5 comparisons; 0: 6, and 5 additions."""
    cubic = cost("norm", f(6), ord=3)
    assert (cubic.transcendentals, cubic.adds) == (6 + 1, 5)
    largest = cost("norm", f(6), ord=INF)
    assert (largest.comparisons, largest.flops) == (5, 5)
    count = cost("norm", f(6), ord=0)
    assert (count.comparisons, count.adds) == (6, 5)


def test_distances_are_no_contraction() -> None:
    """3 × 5 pairs of 4 numbers: 4 subtractions, 4 squares, 3 additions and a root each."""
    if exists("cdist"):
        found = cost("cdist", f(2, 3, 4), f(2, 5, 4))
        assert (found.macs, found.muls, found.transcendentals) == (0, 30 * 4, 30)
        assert found.adds == 30 * (4 + 3)


def test_segments_combine_each_element_once() -> None:
    found = cost("segment_sum", f(5, 3), i(5), num_segments=4)
    assert (found.adds, found.flops) == (15, 15)
    assert cost("segment_max", f(5, 3), i(5), num_segments=4).comparisons == 15


def test_top_k_counts_what_exceeds_the_target() -> None:
    """2 rows of 6 predictions: 6 comparisons and 5 additions a row, then one more comparison."""
    found = cost("in_top_k", i(2), f(2, 6), 2)
    assert (found.comparisons, found.adds) == (2 * 7, 2 * 5)


def test_stft_windows_its_frames() -> None:
    """64 reflected to 80 gives 9 frames of 16 at stride 8, each times its window; FFT opaque."""
    found = cost("stft", f(2, 64), 16, 8, 16)
    assert (found.muls, found.macs) == (2 * 9 * 16, 0)


def test_an_open_number_of_segments_names_the_flag() -> None:
    with pytest.raises(InputError, match=r"--dim segment_sum\w*=N"):
        graph(case("segment_sum", f(5, 3), i(5)))


def test_empty_batches_do_not_crash() -> None:
    made: list[Any] = [graph(case("norm", f(0, 4, 4), axis=(1, 2))), graph(case("det", f(0, 3, 3)))]
    assert all(one.nodes for one in made)
