"""Explanations: every figure of every row as a formula that comes to it, and why one is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import costlens
from costlens.analysis.explain import LayerExplanation, OpExplanation, explain
from costlens.errors import InputError
from costlens.ir.graph import Graph
from costlens.study import Study
from tests.analysis.sketch import CONV, Sketch, dense
from tests.cost.test_formulas import figures, nonzero, transformer, worked_out
from tests.support import abstract, functional

EXAMPLES = Path(__file__).parents[2] / "examples"
FIGURES = (
    "params", "trainable_params", "macs", "macs_valid", "flops", "weight_bytes",
    "activation_bytes", "bytes_moved",
)  # fmt: skip


def explained(study: Study, path: str) -> tuple[LayerExplanation, ...]:
    return explain(study.graph, study.costs, study.layers, path)


def op_of(study: Study, path: str, op: str) -> OpExplanation:
    """The only op of a kind in the only call of a layer."""
    (layer,) = explained(study, path)
    (found,) = (each for each in layer.ops if each.op == op)
    return found


def fire() -> Study:
    """A padded convolution with bias and ReLU, a Dropout, and a Dense used twice."""
    s = Sketch("fire")
    x = s.input((1, 6, 6, 2))
    kernel, bias = s.weight((3, 3, 2, 5), "fire/conv"), s.weight((5,), "fire/conv")
    attrs = {**CONV, "padding": ((1, 1), (1, 1))}
    y = s.op("conv", (x, kernel), "fire/conv", kind="Conv2D", **attrs)
    y = s.op("binary", (y, bias), "fire/conv", kind="Conv2D", fn="add")
    y = s.op("unary", (y,), "fire/conv", kind="Conv2D", fn="relu")
    y = s.op("identity", (y,), "drop", kind="Dropout")
    y = s.op("reduce", (y,), "pool", kind="GlobalAveragePooling2D", fn="mean", axes=(1, 2))
    square = s.weight((5, 5), "twice")
    for call in (1, 2):
        y = s.op("einsum", (y, square), "twice", call, kind="Dense", equation="ab,bc->ac")
    s.weight((7,), "spare", trainable=False)
    return s.study(y)


def everything() -> Any:
    """A layer of every shape of explanation, from Keras."""
    from keras import Input, layers

    image = Input((12, 12, 3), name="image")
    x = layers.SeparableConv2D(6, 3, padding="same", activation="silu", name="separable")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(x)
    x = layers.UpSampling2D(2, interpolation="bilinear", name="resize")(x)
    x = layers.MaxPooling2D(4, name="pool")(x)
    x = layers.Lambda(lambda t: t + 1, name="function")(x)
    return functional(image, layers.Flatten(name="flat")(x))


MODELS: dict[str, Callable[[], Study]] = {
    "sketch": fire,
    "everything": lambda: costlens.analyze(abstract(everything)),
    "transformer": lambda: costlens.analyze(abstract(transformer)),
    "squeezenet": lambda: costlens.analyze(f"{EXAMPLES}/squeezenet.py"),
    "se_resnet50": lambda: costlens.analyze(f"{EXAMPLES}/se_resnet50.py"),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_figure_of_every_row_comes_about(name: str) -> None:
    """And every figure of every op in it."""
    study = MODELS[name]()
    layers = explained(study, "*")
    assert [layer.row for layer in layers] == list(study.layers)
    assert sum(len(layer.ops) for layer in layers) == len(study.graph.nodes)
    for layer in layers:
        found = {figure: getattr(layer.row, figure) for figure in FIGURES}
        assert figures(layer.terms) == {figure: n for figure, n in found.items() if n}
        assert sum(w.params for w in layer.weights if w.counted) == layer.row.params
        for op in layer.ops:
            assert figures(op.terms) == nonzero(op.cost)
            assert op.doc and op.rule


def test_a_convolution_in_full() -> None:
    (layer,) = explained(fire(), "fire/conv")
    words = {term.figure: term.words for term in layer.terms}
    assert words["params"] == "w0 + w1"
    assert words["macs"] == "output positions × kernel taps × Cin × Cout × batch"
    assert words["flops"] == "2 × MACs + additions + comparisons"
    numbers = {term.figure: term.numbers for term in layer.terms}
    assert numbers["params"] == "3·3·2·5 + 5"
    assert numbers["macs"] == "6·6 × 3·3 × 2 × 5 × 1"
    # one tap of three is off at either end of both axes
    assert numbers["macs_valid"] == "(6·3 − 2)·(6·3 − 2) × 2 × 5 × 1"
    assert numbers["activation_bytes"] == "1·6·6·5 × 4"
    assert worked_out(numbers["flops"]) == layer.row.flops
    assert [(w.params, w.counted) for w in layer.weights] == [(90, True), (5, True)]


def test_an_op_says_what_it_reads() -> None:
    conv, bias = (op_of(fire(), "fire/conv", op) for op in ("conv", "binary"))
    assert [(t.name, t.source) for t in conv.operands] == [
        ("image", "layer"), ("fire/conv/w0", "weight"),
    ]  # fmt: skip
    assert [(t.name, t.source) for t in bias.operands] == [
        (conv.name, "op"), ("fire/conv/w1", "weight"),
    ]  # fmt: skip
    assert [t.type.shape for t in conv.operands] == [(1, 6, 6, 2), (3, 3, 2, 5)]
    assert [t.shape for t in conv.outputs] == [(1, 6, 6, 5)]
    assert conv.attrs == (("strides", (1, 1)), ("padding", ((1, 1), (1, 1))))
    assert conv.where.startswith("costlens/cost/rules.py:")
    assert conv.rule.startswith("Convolution: output positions × kernel taps × Cin/groups × Cout")
    assert "\n" not in conv.rule


def test_settings_that_are_not_the_usual_are_told() -> None:
    s = Sketch()
    x = s.input((1, 4, 6, 6))
    attrs = {**CONV, "groups": 2, "channels_last": False, "dilation": (2, 1), "dtype": "float32"}
    kernel = s.weight((3, 3, 2, 8), "conv")
    y = s.op("conv", (x, kernel), "conv", padding=((0, 0), (0, 0)), **attrs)
    y = s.op("reduce", (y,), "sum", fn="sum", axes=(1,), keepdims=False)
    study = s.study(y)
    told = dict(op_of(study, "conv", "conv").attrs)
    assert set(told) == {"strides", "dilation", "groups", "channels_last", "padding"}
    assert dict(op_of(study, "sum", "reduce").attrs) == {"axes": (1,)}


def test_a_view_an_epilogue_and_an_input_say_why_they_move_nothing() -> None:
    study = fire()
    (view,) = explained(study, "drop")[0].ops
    assert view.terms == () and view.notes[0].startswith("It shares the buffer of what it reads")
    epilogue = op_of(study, "fire/conv", "unary")
    assert [term.figure for term in epilogue.terms] == ["comparisons"]
    assert epilogue.notes[0].startswith("An epilogue: ")
    (entry,) = explained(study, "image")[0].ops
    assert entry.terms == () and "before the first layer" in entry.notes[0]
    assert op_of(study, "fire/conv", "conv").notes == ()


def test_an_op_that_computes_nothing_says_so() -> None:
    s = Sketch()
    x = s.input((1, 4))
    y = s.op("unary", (x,), "flip", fn="negative")
    z = s.op("transpose", (y,), "turn", perm=(1, 0))
    study = s.study(z)
    assert op_of(study, "flip", "unary").notes == (
        "Its rule finds nothing to compute in this call.",
    )
    turn = op_of(study, "turn", "transpose")
    assert turn.rule == "Data movement: no arithmetic, only bytes."
    assert [term.figure for term in turn.terms] == ["bytes_read", "bytes_written"]


def test_a_branch_that_never_runs_has_no_figure() -> None:
    s = Sketch()
    x, kernel = s.input((1, 4)), s.weight((4, 5), "branch")
    study = s.study(s.op("einsum", (x, kernel), "branch", repeat=0, equation="ab,bc->ac"))
    op = op_of(study, "branch", "einsum")
    assert op.terms == ()
    assert op.notes == ("A branch that is not counted: it runs 0 times.",)


@pytest.mark.parametrize(
    ("op", "attrs", "says"),
    [
        ("unknown", {"reason": "Odd is a custom layer"}, "Odd is a custom layer"),
        ("opaque", {"fn": "sort"}, "the FLOPs of sort depend on the algorithm"),
    ],
)
def test_an_unknown_says_why_and_keeps_its_bytes(op: str, attrs: dict[str, str], says: str) -> None:
    s = Sketch()
    x = s.input((1, 4))
    study = s.study(s.op(op, (x,), "odd", types=(s.values[x],), **attrs))
    found = op_of(study, "odd", op)
    assert found.notes == (f"Not fully counted: {says}.",)
    assert "flops" in found.at_least and found.where == ""
    assert figures(found.terms) == {"bytes_read": 16, "bytes_written": 16}


def test_a_shared_layer_is_explained_once_per_call() -> None:
    """Its parameters stand on the first."""
    first, second = explained(fire(), "twice")
    assert (first.row.call, second.row.call) == (1, 2)
    assert [w.counted for w in first.weights] == [True]
    assert [(w.owner, w.counted) for w in second.weights] == [("twice", False)]
    assert "params" in figures(first.terms) and "params" not in figures(second.terms)
    assert figures(first.terms)["macs"] == figures(second.terms)["macs"] == 5 * 5


def test_a_borrowed_weight_stands_where_its_owner_is() -> None:
    s = Sketch()
    x, table = s.input((1, 4)), s.weight((4, 6), "embed")
    y = s.op("einsum", (x, table), "embed", equation="ab,bc->ac")
    z = s.op("einsum", (y, table), "head", equation="ac,bc->ab")
    (layer,) = explained(s.study(z), "head")
    assert [(w.path, w.owner, w.counted) for w in layer.weights] == [
        ("embed/w0", "embed", False)
    ]  # fmt: skip
    assert layer.row.shared and "weight_bytes" not in figures(layer.terms)


def test_a_layer_that_is_never_called_has_weights_and_no_op() -> None:
    (layer,) = explained(fire(), "spare")
    assert (layer.row.call, layer.ops) == (0, ())
    assert figures(layer.terms) == {"params": 7, "weight_bytes": 28}


def test_packed_and_auxiliary_weights_count_as_parameters_do() -> None:
    """An int4 kernel at its logical shape; a scale is stored and is no parameter."""
    s = Sketch()
    x = s.input((1, 8))
    packed, scale = s.weight((4, 3), "fc", dtype="int8"), s.weight((3,), "fc", trainable=False)
    y = s.op("unknown", (x, packed, scale), "fc", reason="int4", types=(s.values[x],))
    s.weights[packed] = replace(s.weights[packed], logical=(8, 3))
    s.weights[scale] = replace(s.weights[scale], auxiliary=True)
    (layer,) = explained(s.study(y), "fc")
    assert [(w.shape, w.params, w.auxiliary) for w in layer.weights] == [
        ((8, 3), 24, False), ((3,), 0, True),
    ]  # fmt: skip
    numbers = {term.figure: term.numbers for term in layer.terms}
    assert (numbers["params"], numbers["weight_bytes"]) == ("8·3", "4·3 × 1 + 3 × 4")


def test_a_loop_is_multiplied_by_its_steps() -> None:
    study = MODELS["transformer"]()
    (layer,) = explained(study, "gru")
    steps = {op.repeat for op in layer.ops}
    assert steps == {1, 7}
    product = next(op for op in layer.ops if op.op == "einsum")
    macs = next(term for term in product.terms if term.figure == "macs")
    assert macs.words.endswith(" × steps") and macs.numbers.endswith(" × 7")


def named(*paths: str) -> Study:
    s = Sketch()
    x = s.input((1, 4))
    for path in paths:
        x = dense(s, x, 4, path)
    return s.study(x)


def paths_of(study: Study, path: str) -> list[str]:
    return [layer.row.path for layer in explained(study, path)]


def test_an_exact_path_comes_before_a_glob() -> None:
    study = named("a", "b/[a]", "b/a", "b/c")
    assert paths_of(study, "b/[a]") == ["b/[a]"]
    assert paths_of(study, "b/[ac]") == ["b/a", "b/c"]
    assert paths_of(study, "b/*") == ["b/[a]", "b/a", "b/c"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("expand3", "expand3: the model has no layer of this path. "
         "Try: fire2/expand3, fire3/expand3."),
        ("sqeeze", "Try: fire2/squeeze."),
        ("fire2/expand33", "Try: fire2/expand3, fire3/expand3."),
        ("nothing like it", "'costlens analyze' lists the layers."),
        ("fire9/*", "the model has no layer of this path."),
        ("fire2", "fire2: it holds layers and is none itself. Write 'fire2/*' for those in it."),
        ("", "the model has no layer of this path."),
    ],
)  # fmt: skip
def test_a_path_that_no_layer_has(path: str, says: str) -> None:
    study = named("fire2/squeeze", "fire2/expand3", "fire3/expand3", "head")
    with pytest.raises(InputError) as error:
        explained(study, path)
    assert says in str(error.value)


def test_the_empty_graph_has_nothing_to_explain() -> None:
    with pytest.raises(InputError, match="no layer of this path"):
        explain(Graph("empty", (), (), (), {}), (), (), "*")
