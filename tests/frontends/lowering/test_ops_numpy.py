"""Every function of ``keras.ops`` that numpy has: shapes and dtypes against Keras itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.ops import numpy as source

from costlens.cost.registry import price
from costlens.errors import InputError
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.not_lowered import NOT_LOWERED as REASONS
from costlens.frontends.lowering.run import lower
from costlens.frontends.program import program_from_config
from costlens.ir.types import TensorType
from tests.support import functional, graph_of

DTYPES = ("bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "complex64")
REAL = DTYPES[:-1]
INTS = ("uint8", "int8", "int32", "int64")
FLOATS = ("float16", "float32")

NOT_LOWERED = {
    "vectorize": "takes a callable, and gives another",
    "arange": "refuses symbolic bounds, whose length nothing tells",
    **dict.fromkeys(
        ("bartlett", "blackman", "hamming", "hanning", "kaiser"), "refuses symbolic tensors"
    ),
    **dict.fromkeys(
        ("empty", "eye", "identity", "ones", "tri", "zeros"), "takes no tensor: a constant"
    ),
}
"""Functions of the file that never make an operation, and why."""


def tensor(*shape: int, dtype: str = "float32") -> Any:
    return keras.Input(batch_shape=shape, dtype=dtype)


def inputs_of(outputs: Any) -> list[Any]:
    """The inputs that outputs were computed from."""
    flat = [x for x in keras.tree.flatten(outputs) if hasattr(x, "_keras_history")]
    found: dict[int, Any] = {}
    for x in flat:
        for start in keras.utils.get_source_inputs(x):
            found[id(start)] = start
    return list(found.values())


def read(outputs: Any, **flags: Any) -> Any:
    """The graph of what one call gave; reading it compares every type with Keras's."""
    outputs = keras.tree.flatten(outputs)
    graph = graph_of(functional(inputs_of(outputs), outputs), **flags)
    expected = [(tuple(x.shape), str(x.dtype)) for x in outputs]
    found = [(graph.values[v].shape, graph.values[v].dtype) for v in graph.outputs]
    for (shape, dtype), (got, got_dtype) in zip(expected, found, strict=True):
        assert dtype == got_dtype
        assert len(shape) == len(got)
        assert all(n is None or n == m for n, m in zip(shape, got, strict=True))
    assert not [n for n in graph.nodes if n.op == "unknown"]
    assert len(price(graph)) == len(graph.nodes)
    return graph


UNARY = (
    "abs absolute angle arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil conj conjugate "
    "copy cos cosh deg2rad exp exp2 expm1 floor i0 imag isfinite isinf isnan isneginf isposinf "
    "isreal log log10 log1p log2 logical_not nan_to_num negative rad2deg real reciprocal round "
    "sign signbit sin sinc sinh sqrt square tan tanh trunc ones_like zeros_like empty_like array "
    "ravel size ndim flip fliplr flipud tril triu transpose squeeze diagflat trapezoid diff"
).split()

BINARY = (
    "add subtract multiply divide true_divide divide_no_nan floor_divide mod fmod power maximum "
    "minimum fmax fmin equal not_equal less less_equal greater greater_equal logical_and "
    "logical_or logical_xor logaddexp logaddexp2 arctan2 nextafter isclose allclose where_ "
    "full_like outer"
).split()

REDUCTIONS = (
    "all any amax amin argmax argmin max min mean prod ptp std sum var median nanargmax nanargmin "
    "nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar"
).split()


MODERN = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 15)
"""Older versions refuse some calls, or declare another type than they compute."""

ONLY_MODERN = frozenset(
    "array:dtype full quantile:list unravel_index cross:axis "
    "take_along_axis:flat tile:tuple".split()
)
"""Cases that work only there."""


def present(names: list[str]) -> list[str]:
    """Those that this version of Keras has."""
    return [name for name in names if hasattr(ops, name)]


@pytest.mark.parametrize("name", present(UNARY))
def test_functions_of_one_tensor(name: str) -> None:
    function = getattr(ops, name)
    for shape in ((2, 6), (3, 0), (1, 4)):
        read([function(tensor(*shape, dtype=dtype)) for dtype in DTYPES])


def test_fabs_rounding_and_bits() -> None:
    for dtype in REAL:
        if hasattr(ops, "fabs"):
            read(ops.fabs(tensor(2, 6, dtype=dtype)))
        read(ops.round(tensor(2, 6, dtype=dtype), 2))
        read(ops.round(tensor(2, 6, dtype=dtype), -1))
        read(ops.clip(tensor(2, 6, dtype=dtype), 0, 1))
    for dtype in INTS:
        x = tensor(2, 6, dtype=dtype)
        read([ops.bitwise_not(x), ops.bitwise_invert(x)])
        read([f(x, tensor(2, 6, dtype="int32")) for f in (ops.bitwise_and, ops.bitwise_xor)])
        shifts = ops.left_shift, ops.right_shift, ops.bitwise_left_shift, ops.bitwise_right_shift
        if MODERN:
            read([f(x, 2) for f in shifts])
        read([f(x, tensor(2, 6, dtype="int32")) for f in (*shifts, ops.bitwise_or)])


@pytest.mark.parametrize("name", present(BINARY))
def test_functions_of_two_tensors(name: str) -> None:
    function = getattr(ops, name)
    for one in DTYPES:
        x = tensor(2, 6, dtype=one)
        others = [tensor(2, 6, dtype=two) for two in DTYPES if two not in (one, "complex64")]
        scalars = [2, 2.5, True, np.float32(2), np.float64(2)]
        found = [function(x, other) for other in (x, *others, *scalars)]
        read(found + [function(scalar, x) for scalar in scalars if name != "full_like"])


def test_functions_of_two_tensors_of_some_dtypes() -> None:
    for name in present(["heaviside", "hypot", "ldexp", "gcd", "lcm"]):
        for one in REAL:
            for two in INTS if name in ("gcd", "lcm", "ldexp") else REAL:
                read(getattr(ops, name)(tensor(2, 6, dtype=one), tensor(6, dtype=two)))


def test_python_operators_are_recorded_as_operations() -> None:
    x, i, flag = tensor(2, 6), tensor(2, 6, dtype="int32"), tensor(2, 6, dtype="bool")
    results = [
        x + 1, 1 - x, x * 2.5, i * 2.5, 2 / i, i // 2, i % 2, x**2, 2**x, -x, abs(x), ~flag,
        flag & flag, flag | flag, flag ^ flag, x != x, x > 0, x <= x, round(x, 2), x @ tensor(6, 3),
        x + keras.Variable(2.0), i + np.int64(1), x + np.ones((6,), "float16"),
    ]  # fmt: skip
    graph = read(results)
    assert sum(node.op == "binary" for node in graph.nodes) == 20


@pytest.mark.parametrize("name", present(REDUCTIONS))
def test_reductions(name: str) -> None:
    function = getattr(ops, name)
    single = name in ("argmax", "argmin", "nanargmax", "nanargmin")
    for dtype in REAL:
        x = tensor(2, 3, 4, dtype=dtype)
        axes = (None, 1, -1) if single else (None, 1, -1, (0, 2), (-1, 0))
        read([function(x, axis=axis) for axis in axes])
        if not single or MODERN:
            read([function(x, axis=axis, keepdims=True) for axis in axes])
        if name in ("max", "min"):
            read(function(x, axis=1, initial=0))


@pytest.mark.parametrize(
    "name", present(["cumsum", "cumprod", "nancumsum", "nancumprod", "count_nonzero", "average"])
)
def test_along_an_axis(name: str) -> None:
    function = getattr(ops, name)
    for dtype in REAL:
        read([function(tensor(2, 3, dtype=dtype), axis=axis) for axis in (None, 0, -1)])
    if name.startswith(("cum", "nan")):
        read(function(tensor(2, 3, dtype="bool"), axis=1, dtype="int64"))


Case = Callable[[], Any]


def cases() -> dict[str, Case]:
    """One or more calls of every function whose arguments are its own: name, colon, variant."""
    a, m, x = tensor(2, 6), tensor(2, 4, 4), tensor(2, 8, 8, 4)
    v, i, flag = tensor(6), tensor(2, 6, dtype="int32"), tensor(2, 6, dtype="bool")
    h, s = tensor(2, 6, dtype="float16"), tensor()
    points = np.arange(6.0, dtype="float32")
    return {
        "get_item": lambda: [
            a[0], x[:, 0, ::2], x[..., None, 1:3], a[-1, -2], x[:, ::-1], a[None, ...], a[..., :],
            m[:, 5:],
            x[:, 1:-1, 1:-1], a[:, None, 2:3], x[0, ..., 0], m[::2, 3:0:-2], m[:, :0],
        ],
        "get_item:list": lambda: ops.get_item(a, [0, 1]),
        "take": lambda: [
            ops.take(a, [0, 2], axis=1), ops.take(a, 3, axis=-1), ops.take(a, np.array([[0], [2]])),
            ops.take(np.ones((5, 3), "float32"), i, axis=0), ops.take(x, i, axis=-2),
        ],
        "take_along_axis": lambda: [
            ops.take_along_axis(a, tensor(2, 3, dtype="int32"), axis=1),
            ops.take_along_axis(x, tensor(2, 8, 1, 1, dtype="int32"), axis=2),
        ],
        "take_along_axis:flat": lambda: ops.take_along_axis(a, tensor(5, dtype="int32")),
        "repeat": lambda: [
            ops.repeat(a, 2, axis=1), ops.repeat(a, [1, 2], axis=0), ops.repeat(a, 2),
            ops.repeat(a, np.array([1, 2]), axis=0), ops.repeat(a, [2], axis=-1),
        ],
        "tile": lambda: [ops.tile(a, [2, 1, 3]), ops.tile(a, 2)],
        "tile:tuple": lambda: [ops.tile(a, (2, 1, 3)), ops.tile(x, (1, 2))],
        "broadcast_to": lambda: ops.broadcast_to(v, (3, 6)),
        "reshape": lambda: [
            ops.reshape(a, (3, -1)), ops.reshape(a, (np.int64(3), 4)), ops.reshape(a, (-1,)),
        ],
        "expand_dims": lambda: [ops.expand_dims(a, 0), ops.expand_dims(a, -1)],
        "squeeze:axis": lambda: ops.squeeze(tensor(2, 1, 3, 1), axis=-1),
        "transpose:axes": lambda: ops.transpose(x, (0, 3, 1, 2)),
        "swapaxes": lambda: ops.swapaxes(x, 1, -1),
        "moveaxis": lambda: [
            ops.moveaxis(x, 1, -1), ops.moveaxis(x, (0, 1), (-1, -2)), ops.moveaxis(x, -1, 0),
        ],
        "rot90": lambda: [ops.rot90(x), ops.rot90(tensor(2, 4, 4, 3), k=3, axes=(1, 2))],
        "roll": lambda: [ops.roll(a, 1), ops.roll(a, (1, 2), axis=(0, 1))],
        "flip:axis": lambda: ops.flip(a, axis=1),
        "pad": lambda: [
            ops.pad(a, 1), ops.pad(a, ((1, 2), (0, 1)), constant_values=3.0), ops.pad(a, (1, 2)),
            ops.pad(a, [[1], [2]]), ops.pad(a, np.array([[1, 2], [0, 1]])),
            ops.pad(a, ((1, 1), (2, 2)), mode="reflect"),
        ],
        "concatenate": lambda: [
            ops.concatenate([a, np.ones((2, 3), "float16")], axis=-1), ops.concatenate((a, i)),
            ops.concatenate([flag, flag], axis=1), ops.concatenate([h, i], axis=0),
        ],
        "stack": lambda: [ops.stack([a, a], axis=-1), ops.stack([h, i]), ops.stack([a], axis=1)],
        "hstack": lambda: ops.hstack([a, i]),
        "vstack": lambda: [ops.vstack([a, i]), ops.vstack([v, v])],
        "dstack": lambda: [ops.dstack([a, i]), ops.dstack([v, v]), ops.dstack([m, m])],
        "append": lambda: [ops.append(a, i), ops.append(a, a, axis=1), ops.append(x, v)],
        "split": lambda: [
            *ops.split(a, 3, axis=1), *ops.split(a, [1, 4], axis=-1), *ops.split(a, 2),
            *ops.split(a, np.array([1, 4]), axis=-1), *ops.split(a, 1),
        ],
        "array_split": lambda: ops.array_split(a, 4, axis=1),
        "hsplit": lambda: [*ops.hsplit(a, [2]), *ops.hsplit(v, 2)],
        "vsplit": lambda: ops.vsplit(a, 2),
        "dsplit": lambda: ops.dsplit(m, 2),
        "meshgrid": lambda: [
            *ops.meshgrid(v, i), *ops.meshgrid(v, tensor(3, dtype="int32"), indexing="ij"),
            *ops.meshgrid(v, tensor(3), tensor(2, dtype="float16")),
        ],
        "diag": lambda: [
            ops.diag(a), ops.diag(v, k=-2), ops.diag(a, k=3), ops.diag(a, k=-1), ops.diag(a, k=9),
        ],
        "diagflat:k": lambda: ops.diagflat(a, k=1),
        "diagonal": lambda: [
            ops.diagonal(m), ops.diagonal(x, 1, 1, 2), ops.diagonal(m, 9),
            ops.diagonal(x, offset=-2, axis1=-1, axis2=1),
        ],
        "trace": lambda: [
            ops.trace(tensor(3, 4, 2, dtype=dtype), 1, axis1=1, axis2=0)
            for dtype in ("bool", "int8", "int32", *FLOATS)
        ],
        "view": lambda: [ops.view(a, d) for d in ("int32", "uint8", "float32", "int64")],
        "array:dtype": lambda: [ops.array(a, "float16"), ops.array(i)],
        "full": lambda: ops.full((2, 3), s),
        "full_like:dtype": lambda: [ops.full_like(a, s, dtype="int32"), ops.full_like(i, 1)],
        "linspace": lambda: [
            ops.linspace(v, 2.0, num=5), ops.linspace(i, a, num=5, axis=-1), ops.linspace(0, h, 4),
            ops.linspace(v, i, 7, axis=1), ops.linspace(v, i, num=1, endpoint=False),
            ops.linspace(i, i, num=3, dtype="int32"),
        ],
        "logspace": lambda: [ops.logspace(v, v, num=5, axis=-1), ops.logspace(0, h, 4)],
        "geomspace": lambda: [ops.geomspace(v, v, num=5), ops.geomspace(i, 2.0, num=5)],
        "vander": lambda: [ops.vander(v), ops.vander(tensor(4, dtype="int32"), 3)],
        "trapezoid:x": lambda: [
            ops.trapezoid(a, dx=2.0), ops.trapezoid(a, x=points),
            ops.trapezoid(x, x=np.arange(8.0, dtype="float32"), axis=1),
        ],
        "diff:n": lambda: [ops.diff(a, 2), ops.diff(x, 3, axis=1), ops.diff(a, 0), ops.diff(a, 9)],
        "clip": lambda: ops.clip(a, s, 1),
        "average:weights": lambda: [
            ops.average(a, axis=1, weights=v), ops.average(a, weights=a),
            ops.average(h, axis=-1, weights=np.ones(6, "float32")),
            ops.average(i, axis=0, weights=tensor(2)), ops.average(a, axis=0, weights=a),
        ],
        "where": lambda: [
            ops.where(flag, a, 0), ops.where(flag, 1, 0), ops.where(flag, h, 1.5), ops.where(flag),
            ops.where(flag, i, h), ops.where(a > 0, a, v),
        ],
        "select": lambda: ops.select([flag, flag], [h, h], 0.5),
        "sort": lambda: [ops.sort(a), ops.sort(a, axis=0), ops.sort(i, axis=None)],
        "argsort": lambda: [ops.argsort(a), ops.argsort(a, axis=None)],
        "argpartition": lambda: [ops.argpartition(a, 2), ops.argpartition(a, 2, axis=None)],
        "percentile": lambda: [
            ops.percentile(a, 50, axis=1), ops.percentile(h, [10, 50]), ops.percentile(i, [5]),
        ],
        "nanpercentile": lambda: [
            ops.nanpercentile(a, 50, axis=1), ops.nanpercentile(i, [10, 50], keepdims=True),
        ],
        "quantile": lambda: [
            ops.quantile(a, 0.5, axis=(0, 1)), ops.quantile(i, 0.5),
            ops.quantile(h, np.array([0.5, 0.6]), axis=1, keepdims=True),
            ops.quantile(a, tensor(3), axis=1),
        ],
        "quantile:list": lambda: [ops.quantile(a, [0.5]), ops.quantile(i, [0.5, 0.6])],
        "nanquantile": lambda: ops.nanquantile(a, [0.5, 0.1], axis=1),
        "digitize": lambda: ops.digitize(a, np.array([0.0, 1.0])),
        "searchsorted": lambda: [ops.searchsorted(v, a), ops.searchsorted(points, a, side="right")],
        "isin": lambda: [ops.isin(a, v), ops.isin(i, np.array([1, 2])), ops.isin(i, [1, 2])],
        "histogram": lambda: ops.histogram(v, 5),
        "unravel_index": lambda: ops.unravel_index(i, (3, 4)),
        "slogdet": lambda: ops.slogdet(m),
        "unique": lambda: ops.unique(i, size=5, axis=1),
        "corrcoef": lambda: [ops.corrcoef(tensor(3, 3, dtype=d)) for d in REAL] + [ops.corrcoef(a)],
        "correlate": lambda: [
            ops.correlate(v, tensor(3, dtype=d), mode)
            for mode in ("valid", "same", "full") for d in REAL
        ],
        "cross": lambda: [
            ops.cross(tensor(3, 3), tensor(3, 3)), ops.cross(tensor(4, 2), tensor(4, 2)),
        ],
        "cross:axis": lambda: [
            ops.cross(tensor(3, 4), tensor(3, 4), axis=0), ops.cross(h[:, :3], i[:, 3:]),
            ops.cross(tensor(3, 2), tensor(3, 3)), ops.cross(tensor(5, 4, 3), tensor(3)),
        ],
        "kron": lambda: [ops.kron(a, i), ops.kron(a, m), ops.kron(m, v), ops.kron(v, h[0])],
        "matmul": lambda: [
            ops.matmul(a, tensor(6, 3)), ops.matmul(tensor(4, 1, 2, 6), tensor(5, 6, 3)),
            ops.matmul(tensor(6), tensor(5, 6, 3)), ops.matmul(a, v), ops.matmul(v, v),
            ops.matmul(tensor(2, 3, dtype="int8"), tensor(3, 2, dtype="int8")),
            ops.matmul(h, tensor(6, 2, dtype="int32")), ops.matmul(m, np.ones((4, 4), "float16")),
        ],
        "dot": lambda: [
            ops.dot(a, tensor(3, 6, 5)), ops.dot(a, 2), ops.dot(a, s), ops.dot(x, tensor(4)),
            ops.dot(v, v), ops.dot(v, tensor(6, 2)), ops.dot(2.0, i),
        ],
        "tensordot": lambda: [
            ops.tensordot(m, m, axes=[[1, 2], [1, 2]]), ops.tensordot(m, tensor(4, 4, 3)),
            ops.tensordot(a, v, axes=0), ops.tensordot(a, tensor(3, 6), axes=[[-1], [-1]]),
            ops.tensordot(x, a, axes=[[0], [0]]), ops.tensordot(h, v, axes=1),
        ],
        "inner": lambda: [ops.inner(a, tensor(5, 6)), ops.inner(m, tensor(4)), ops.inner(a, 2)],
        "outer": lambda: [ops.outer(a, v), ops.outer(h, 2.0), ops.outer(2, i)],
        "vdot": lambda: [ops.vdot(a, a), ops.vdot(h, i)],
        "einsum": lambda: [
            ops.einsum("ij,kj", a, a), ops.einsum("ij->j", a), ops.einsum("bii->b", m),
            ops.einsum("ij,jk,kl->il", tensor(2, 3), tensor(3, 4), tensor(4, 5)),
            ops.einsum("...ij,...jk", tensor(7, 2, 3), tensor(3, 4)), ops.einsum("ba", a),
            ops.einsum("i...,j...->...ij", m, x[:, :4, 0]), ops.einsum("ij,j->", a, v),
            ops.einsum("ij,jk", tensor(2, 3, dtype="int8"), tensor(3, 2, dtype="int8")),
            ops.einsum("ij,ij->ij", h, i), ops.einsum("iJ,Jk", a, tensor(6, 2)),
            ops.einsum("ijk,ilm,njm,nlk,abc->", *(tensor(2, 2, 2) for _ in range(5))),
            ops.einsum("ij,ij,ij->ij", a, a, a), ops.einsum("i,j,k->kji", v, v, v),
        ],
    }  # fmt: skip


def recordable() -> dict[str, Case]:
    """The cases that this version of Keras can record."""
    return {
        key: case
        for key, case in cases().items()
        if hasattr(ops, key.partition(":")[0]) and (MODERN or key not in ONLY_MODERN)
    }


@pytest.mark.parametrize("name", recordable())
def test_functions_with_arguments_of_their_own(name: str) -> None:
    read(recordable()[name]())


def test_lengths_that_stay_open_are_asked_for() -> None:
    i = tensor(2, 6, dtype="int32")
    calls = [ops.nonzero(i), [ops.bincount(i)], [ops.bincount(i, weights=np.ones((2, 6)))]]
    if hasattr(ops, "unique"):
        calls += [ops.unique(i, return_index=True, return_inverse=True, return_counts=True)]
        calls += [[ops.unique(i, axis=1)]]
    for found in calls:
        name = found[0]._keras_history.operation.name
        graph = read(found, dims={name: 5})
        assert 5 in graph.values[graph.outputs[0]].shape


def test_sizes_that_keras_leaves_open() -> None:
    x = keras.Input((4, 6))
    y = ops.reshape(x, (ops.shape(x)[0], -1, 3))
    assert read(y, batch=5).nodes[-1].attrs["shape"] == (5, 8, 3)
    y = ops.reshape(x, (ops.shape(x)[0], 24))
    assert [n.attrs["shape"] for n in read(y, batch=5).nodes[1:]] == [(5, 24)]
    y = ops.broadcast_to(tensor(1, 6), (ops.shape(x)[0], 6))
    name = y._keras_history.operation.name
    with pytest.raises(InputError, match=f"--dim {name}=N"):
        read(y)
    assert read(y, dims={name: 3}).nodes[-1].attrs["shape"] == (3, 6)


def test_operations_read_from_a_file_as_from_the_live_model() -> None:
    x = keras.Input((6,), name="x")
    y = ops.concatenate([x[:, 1:3], ops.reshape(x, (-1, 6)) * 2.0], axis=-1)
    y = ops.einsum("bi,bj->bij", ops.split(y, 2, axis=1)[0], ops.mean(x, axis=1, keepdims=True))
    model = functional(x, y)
    live = graph_of(model)
    read_back = program_from_config(model.get_config(), model.name)
    graph = lower(read_back, LOWERINGS, [TensorType((1, 6), "float32")])
    assert [n.op for n in graph.nodes] == [n.op for n in live.nodes]
    assert graph.values[graph.outputs[0]] == live.values[live.outputs[0]]


def public() -> set[str]:
    return {
        name
        for name in dir(ops)
        if getattr(getattr(ops, name), "__module__", "") == source.__name__
    }


def test_every_function_is_tested_or_stands_on_the_list_of_the_others() -> None:
    tested = {key.partition(":")[0] for key in cases()} | set(UNARY + BINARY + REDUCTIONS)
    tested |= {
        "heaviside", "hypot", "ldexp", "gcd", "lcm", "cumsum", "cumprod", "nancumsum", "nancumprod",
        "count_nonzero", "average", "fabs", "clip", "bitwise_not", "bitwise_invert", "bitwise_and",
        "bitwise_xor", "bitwise_or", "left_shift", "right_shift", "bitwise_left_shift",
        "bitwise_right_shift", "nonzero", "bincount", "unique",
    }  # fmt: skip
    assert public() - tested - set(NOT_LOWERED) == set()
    assert not tested & set(NOT_LOWERED)


def test_every_operation_of_the_file_has_a_lowering() -> None:
    from keras.src.ops.operation import Operation

    classes = {
        f"op:{name}"
        for name, cls in vars(source).items()
        if isinstance(cls, type)
        and issubclass(cls, Operation)
        and cls.__module__ == source.__name__
    }
    assert classes - set(LOWERINGS) <= set(REASONS)
