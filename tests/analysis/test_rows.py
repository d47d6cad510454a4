"""Rows, totals, coverage, tree: what they sum to, on graphs drawn by hand."""

from __future__ import annotations

import pytest

from costlens.analysis.rows import Row
from costlens.analysis.tree import by_type, flat, hot_spots, select, share, tree
from costlens.study import Study
from tests.analysis.sketch import VALID, Sketch, dense

ADDITIVE = (
    "params", "trainable_params", "weight_bytes", "macs", "macs_valid", "flops",
    "activation_bytes", "bytes_moved",
)  # fmt: skip


def two_towers() -> Study:
    """Two branches of one shared Dense, a nested block, and a view."""
    s = Sketch("towers")
    left, right = s.input((2, 6), "left"), s.input((2, 6), "right")
    kernel, bias = s.weight((6, 4), "shared"), s.weight((4,), "shared", trainable=False)

    def shared(x: str, call: int) -> str:
        y = s.op("einsum", (x, kernel), "shared", call, kind="Dense", equation="ab,bc->ac")
        return s.op("binary", (y, bias), "shared", call, kind="Dense", fn="add")

    a, b = shared(left, 1), shared(right, 2)
    joined = s.op("concat", (a, b), "block/join", kind="Concatenate", axis=1)
    deep = dense(s, joined, 3, "block/deep/fc")
    flat_ = s.op("reshape", (deep,), "block/flat", kind="Reshape", shape=(6,))
    return s.study(flat_)


def row_of(study: Study, path: str, call: int = 1) -> Row:
    return next(row for row in study.layers if (row.path, row.call) == (path, call))


@pytest.mark.parametrize("field", ADDITIVE)
def test_every_additive_column_sums_to_the_totals(field: str) -> None:
    study = two_towers()
    assert sum(getattr(row, field) for row in study.layers) == getattr(study.totals, field)


def test_a_shared_layer_has_its_parameters_once_and_its_cost_twice() -> None:
    study = two_towers()
    first, second = row_of(study, "shared"), row_of(study, "shared", 2)
    assert (first.params, first.trainable_params, first.weight_bytes) == (28, 24, 112)
    assert (second.params, second.trainable_params, second.weight_bytes) == (0, 0, 0)
    assert (first.shared, second.shared) == (False, True)
    assert first.macs == second.macs == 2 * 6 * 4
    assert first.flops == 2 * 48 + 8
    assert study.totals.params == 28 + 8 * 3 + 3


def test_a_row_knows_its_containers_and_shapes() -> None:
    study = two_towers()
    row = row_of(study, "block/deep/fc")
    assert row.scope == ("block", "deep")
    assert (row.input_shapes, row.output_shapes) == (((2, 8),), ((2, 3),))
    assert [part.op for part in row.ops] == ["einsum", "binary"]
    assert sum(part.macs for part in row.ops) == row.macs == 2 * 8 * 3
    assert row_of(study, "shared").scope == ()


def test_a_view_costs_nothing_and_has_no_bytes() -> None:
    row = row_of(two_towers(), "block/flat")
    assert (row.flops, row.activation_bytes, row.bytes_moved) == (0, 0, 0)
    assert row.output_shapes == ((6,),)


def test_a_bias_writes_in_place_and_moves_nothing() -> None:
    row = row_of(two_towers(), "block/deep/fc")
    # x 2×8, kernel 8×3 read, 2×3 written, in float32; the bias add is an epilogue
    assert row.bytes_moved == 4 * (16 + 24 + 6)
    assert row.activation_bytes == 4 * 6


def test_a_layer_that_is_never_called_keeps_its_parameters() -> None:
    s = Sketch()
    x = s.input((1, 2))
    s.weight((7,), "spare")
    study = s.study(dense(s, x, 3, "fc"))
    row = row_of(study, "spare", 0)
    assert (row.params, row.weight_bytes, row.macs, row.type) == (7, 28, 0, "not called")
    assert study.totals.params == 7 + 9


def test_a_string_makes_byte_totals_lower_bounds() -> None:
    s = Sketch()
    x = s.input((1, 3), dtype="string")
    y = s.op("gather", (x,), "lookup", shape=(1, 3), dtype="int64")
    assert s.study(y).totals.at_least == {"activation_bytes", "bytes_moved", "peak_memory_bytes"}


def test_coverage_counts_every_call_once() -> None:
    s = Sketch()
    x = s.input((1, 4))
    types = (s.values[x],)
    y = s.op("unknown", (x,), "odd", kind="Odd", reason="Odd is a custom layer", types=types)
    z = s.op("opaque", (y,), "sorted", kind="Sort", fn="sort", types=types)
    study = s.study(s.op("unary", (z,), "act", fn="relu"))
    found = study.coverage
    assert (found.calls, found.counted, found.zero, len(found.unknown)) == (4, 1, 1, 2)
    assert [(u.layer, u.op) for u in found.unknown] == [("odd", "unknown"), ("sorted", "opaque")]
    assert found.unknown[0].reason == "Odd is a custom layer"
    assert not found.complete
    assert {"macs", "flops", "flops_folded", "bytes_moved"} <= study.totals.at_least
    assert row_of(study, "odd").unknown == ("Odd is a custom layer",)


def test_an_unknown_flop_count_leaves_the_macs_exact() -> None:
    s = Sketch()
    x = s.input((1, 4))
    y = s.op("opaque", (x,), "sorted", fn="sort", types=(s.values[x],))
    assert s.study(y).totals.at_least == {"flops", "flops_folded"}


def test_a_branch_that_never_runs_costs_nothing() -> None:
    s = Sketch()
    x, kernel = s.input((1, 4)), s.weight((4, 5), "branch")
    y = s.op("einsum", (x, kernel), "branch", repeat=0, equation="ab,bc->ac")
    study = s.study(y)
    assert (study.totals.macs, study.totals.bytes_moved, study.totals.params) == (0, 0, 20)


def test_a_loop_counts_its_body_for_every_step() -> None:
    s = Sketch()
    x, kernel = s.input((1, 9, 3)), s.weight((3, 5), "rnn")
    step = s.op("step", (x,), "rnn", repeat=9, axis=1)
    y = s.op("einsum", (step, kernel), "rnn", repeat=9, equation="ab,bc->ac")
    z = s.op("unary", (y,), "rnn", repeat=9, fn="tanh")
    study = s.study(s.op("stack", (z,), "rnn", axis=1, length=9))
    assert study.totals.macs == 9 * 15
    assert study.totals.flops == 9 * (30 + 5)
    assert row_of(study, "rnn").output_shapes == ((1, 9, 5),)


def normalised(bias: bool, between: str = "", twice: bool = False) -> Study:
    """A 1×1 convolution of 2 → 3 channels on 4×4, and a batch norm after it."""
    s = Sketch()
    x, kernel = s.input((1, 4, 4, 2)), s.weight((1, 1, 2, 3), "conv")
    y = s.op("conv", (x, kernel), "conv", **VALID)
    if bias:
        y = s.op("binary", (y, s.weight((3,), "conv")), "conv", fn="add")
    if between:
        y = s.op("unary", (y,), "act", fn=between)
    statistics = [s.weight((3,), "bn") for _ in range(4)]
    z = s.op("batch_norm", (y, *statistics), "bn", kind="BatchNormalization", axis=3)
    return s.study(z, y) if twice else s.study(z)


def test_folding_takes_a_batch_norm_away_but_for_the_bias_it_makes() -> None:
    elements = 4 * 4 * 3
    standing, biased = normalised(bias=False).totals, normalised(bias=True).totals
    # one scale and one shift an element; without a bias of the convolution the shift stays
    assert standing.flops - standing.flops_folded == elements
    assert biased.flops - biased.flops_folded == 2 * elements


@pytest.mark.parametrize("study", [normalised(True, "relu"), normalised(True, twice=True)])
def test_a_batch_norm_that_cannot_fold_stands(study: Study) -> None:
    """After an activation, or after a convolution whose own result is read too."""
    assert study.totals.flops_folded == study.totals.flops


@pytest.mark.parametrize(("axis", "saved"), [(3, 4 * 4 * 3), (1, 0), (2, 0)])
def test_a_batch_norm_folds_only_along_the_channels(axis: int, saved: int) -> None:
    s = Sketch()
    y = s.op("conv", (s.input((1, 4, 4, 2)), s.weight((1, 1, 2, 3), "conv")), "conv", **VALID)
    statistics = [s.weight((3 if axis == 3 else 4,), "bn") for _ in range(4)]
    totals = s.study(s.op("batch_norm", (y, *statistics), "bn", axis=axis)).totals
    assert totals.flops - totals.flops_folded == saved


@pytest.mark.parametrize(("axis", "saved"), [(2, 7 * 3), (1, 0)])
def test_a_batch_norm_folds_into_a_dense_layer_along_its_units(axis: int, saved: int) -> None:
    s = Sketch()
    operands = s.input((1, 7, 2)), s.weight((2, 3), "fc")
    y = s.op("einsum", operands, "fc", equation="abY,YZ->abZ")
    statistics = [s.weight((3 if axis == 2 else 7,), "bn") for _ in range(4)]
    totals = s.study(s.op("batch_norm", (y, *statistics), "bn", axis=axis)).totals
    assert totals.flops - totals.flops_folded == saved


def test_an_output_has_the_bytes_of_its_own_dtype() -> None:
    """A cast that writes in place gives 2 bytes an element, whatever the buffer was before."""
    s = Sketch()
    y = s.op("gather", (s.weight((9, 4), "table"), s.input((1, 6))), "table", shape=(1, 6, 4))
    study = s.study(s.op("cast", (y,), "table", dtype="float16"))
    assert row_of(study, "table").activation_bytes == 6 * 4 * 2


def test_the_tree_sums_containers_and_depth_rolls_up() -> None:
    study = two_towers()
    lines = tree(study.layers, study.totals.macs)
    shown = [(line.level, line.label) for line in lines]
    assert shown == [
        (0, "left"), (0, "right"), (0, "shared"), (0, "shared"), (0, "block"), (1, "join"),
        (1, "deep"), (2, "fc"), (1, "flat"),
    ]  # fmt: skip
    block = lines[4]
    assert (block.params, block.macs, block.rows) == (27, 48, 3)
    rolled = tree(study.layers, study.totals.macs, 1)
    assert [line.label for line in rolled] == ["left", "right", "shared", "shared", "block"]
    for field in ("params", "macs", "flops", "activation_bytes", "bytes_moved"):
        assert sum(getattr(line, field) for line in rolled) == getattr(study.totals, field)


def test_rows_are_selected_by_path_or_type_sorted_and_cut() -> None:
    study = two_towers()
    assert [r.path for r in select(study.layers, "block/*")] == [
        "block/join", "block/deep/fc", "block/flat",
    ]  # fmt: skip
    assert {r.type for r in select(study.layers, "Dense")} == {"Dense"}
    largest = select(study.layers, sort="params", top=2)
    assert [r.path for r in largest] == ["shared", "block/deep/fc"]
    assert select(study.layers, "nothing") == ()
    assert [line.label for line in flat(largest, 1)] == ["shared", "block/deep/fc"]


def test_types_and_hot_spots_come_from_the_rows() -> None:
    study = two_towers()
    groups = {g.type: g for g in by_type(study.layers, study.totals.macs)}
    assert groups["Dense"].calls == 3
    assert groups["Dense"].macs == study.totals.macs
    assert groups["Dense"].share_macs == 1.0
    assert sum(g.params for g in groups.values()) == study.totals.params
    spots = [s for s in hot_spots(study.layers, 1) if s.measure == "params"]
    assert [(s.path, s.value) for s in spots] == [("shared", 28)]
    assert share(1, 3) == 0.333333
    assert share(1, 0) == 0.0
