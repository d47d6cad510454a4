"""Shapes and dtypes against numpy and Keras."""

from __future__ import annotations

import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from costlens.ir.types import (
    ITEMSIZE,
    TensorType,
    broadcast,
    is_complex,
    is_float,
    is_int,
    promote,
)
from tests.cost.calls import BOUNDED

#: Python's scalar types, which are weakly typed.
WEAK = {"int": int, "float": float}
#: float8 and strings have no implicit conversion.
STRONG = [name for name in ITEMSIZE if not name.startswith("float8") and name != "string"]


def keras_says(*dtypes: str) -> str:
    """Keras's own promotion; a backend may narrow what comes out to 32 bits."""
    return str(keras.backend.result_type(*(WEAK.get(dtype, dtype) for dtype in dtypes)))


def defined(*dtypes: str) -> bool:
    """Whether Keras promotes these at all."""
    try:
        keras_says(*dtypes)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("dtype", [dtype for dtype in STRONG if defined(dtype, "bool")])
def test_promotion_of_pairs(dtype: str) -> None:
    """As Keras, in either order, up to the narrowing that Keras's backend does."""
    others = [other for other in (*STRONG, *WEAK) if defined(dtype, other)]
    expected = {other: keras_says(dtype, other) for other in others}
    assert {other: keras_says(promote((dtype, other))) for other in others} == expected
    assert {other: keras_says(promote((other, dtype))) for other in others} == expected


@BOUNDED
@given(dtypes=st.lists(st.sampled_from([*STRONG, *WEAK]), min_size=1, max_size=4))
def test_promotion_of_several(dtypes: list[str]) -> None:
    """Three and four at once, in any order."""
    assume(defined(*dtypes))
    assert keras_says(promote(dtypes)) == keras_says(*dtypes)
    assert promote(reversed(dtypes)) == promote(dtypes)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float64", "complex64"), "complex128"),
        (("uint64", "uint8"), "uint64"),
        (("int64", "uint32"), "int64"),
        (("float64", "int64"), "float64"),
        (("complex128", "float"), "complex128"),
        (("uint8", "float", "float16"), "float16"),
        (("uint64", "int8", "bfloat16"), "bfloat16"),
    ],
)
def test_wide_dtypes_are_not_narrowed(dtypes: tuple[str, ...], expected: str) -> None:
    assert promote(dtypes) == expected


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [(["int"], "int32"), (["float"], "float32"), (["int", "float"], "float32"), ([], "float32")],
)
def test_scalars_alone_take_the_default(dtypes: list[str], expected: str) -> None:
    assert promote(dtypes) == keras_says(*dtypes) == expected


def test_a_dtype_alone_stays() -> None:
    for dtype in ITEMSIZE:
        assert promote([dtype]) == promote([dtype, dtype]) == dtype


@pytest.mark.parametrize("dtype", [name for name in ITEMSIZE if name != "string"])
def test_itemsize(dtype: str) -> None:
    made = getattr(ml_dtypes, dtype, None) or dtype
    assert ITEMSIZE[dtype] == np.dtype(made).itemsize


def test_every_dtype_of_keras_has_a_size() -> None:
    from keras.src.backend.common.dtypes import ALLOWED_DTYPES

    assert set(ALLOWED_DTYPES) <= set(ITEMSIZE)


def test_each_dtype_is_of_one_kind() -> None:
    for dtype in ITEMSIZE:
        kinds = [is_float(dtype), is_int(dtype), is_complex(dtype), dtype in ("bool", "string")]
        assert sum(kinds) == 1, dtype


SHAPES = st.lists(st.lists(st.integers(0, 3), max_size=4).map(tuple), min_size=1, max_size=4)


@BOUNDED
@given(shapes=SHAPES)
def test_broadcast(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ValueError, match="do not broadcast"):
            broadcast(*shapes)
    else:
        assert broadcast(*shapes) == expected


@BOUNDED
@given(shape=st.lists(st.integers(0, 5), max_size=4).map(tuple))
def test_sizes(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, "float16")
    found = TensorType(shape, "float16")
    assert (found.size, found.nbytes, found.rank) == (array.size, array.nbytes, array.ndim)


def test_a_type_reads_as_text() -> None:
    assert str(TensorType((2, 3), "int8")) == "int8[2, 3]"
