"""Laws of splicing and cutting: what an edit may change, and what it may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import costlens
from costlens.analysis.blocks import Block
from costlens.analysis.figures import Figures, figures
from costlens.errors import GraphError
from costlens.ir.check import check
from costlens.ir.edit import BORDER, Patch, agreeing, splice, subgraph
from costlens.ir.graph import Graph, Node, Origin, Weight
from costlens.ir.types import TensorType
from costlens.study import Study
from tests.ir.graphs import Draft
from tests.oracles.traced import build_abstractly
from tests.support import cost_of, functional, graph_of

#: Figures that add up over disjoint parts.
SUMS = "params weight_bytes macs macs_valid flops activation_bytes bytes_moved".split()

#: Targets, each with the motifs whose blocks lie apart from each other.
TARGETS = {
    "keras.applications:ResNet50(weights=None)": ("bottleneck",),
    "keras.applications:ResNet50V2(weights=None)": ("bottleneck",),
    "keras.applications:MobileNetV2(weights=None)": ("inverted_residual",),
    "keras.applications:DenseNet121(weights=None)": ("dense_bottleneck", "transition"),
    "keras.applications:InceptionV3(weights=None)": ("inception",),
    "keras.applications:EfficientNetB0(weights=None)": ("inverted_residual",),
    "keras.applications:Xception(weights=None)": ("depthwise_separable",),
    "keras.applications:ConvNeXtTiny(weights=None)": ("convnext",),
    "examples/squeezenet.py": ("fire",),
    "examples/se_resnet50.py": ("bottleneck",),
    "examples/fpn.py": ("bottleneck", "fpn"),
    "examples/nin.py": ("mlpconv",),
}


@cache
def study(target: str) -> Study:
    if target.startswith("examples/"):
        target = f"{Path(__file__).parents[2]}/{target}"
    return costlens.analyze(target)


@cache
def apart(target: str) -> tuple[Block, ...]:
    """The blocks of a target; no two have a node in common."""
    found = tuple(b for b in study(target).blocks if b.motif in TARGETS[target])
    names = [node.name for block in found for node in block.nodes]
    assert len(found) > 1 and len(names) == len(set(names))
    return found


def added(total: Figures, changes: Sequence[tuple[Figures, Figures]]) -> dict[str, int]:
    """Figures after parts have changed from one to the other."""
    return {
        field: getattr(total, field)
        + sum(getattr(new, field) - getattr(old, field) for old, new in changes)
        for field in SUMS
    }


def sums(found: Figures) -> dict[str, int]:
    return {field: getattr(found, field) for field in SUMS}


def contractions(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op in ("conv", "conv_transpose", "einsum")]


def clone_of(node: Node, graph: Graph) -> Patch:
    """A patch that puts the same call in a node's place."""
    names = tuple(f"{value}'" for value in node.outputs)
    twin = replace(node, name=f"{node.name}'", outputs=names)
    values = {new: graph.values[old] for old, new in zip(node.outputs, names, strict=True)}
    return Patch(((node.name, twin),), values, {}, dict(zip(node.outputs, names, strict=True)))


# Splicing


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_spliced_changes_nothing(target: str) -> None:
    graph = study(target).graph
    assert splice(graph, []) == splice(graph, [Patch(), Patch()]) == graph


@pytest.mark.parametrize("target", TARGETS)
def test_a_clone_of_every_contraction_costs_the_same(target: str) -> None:
    graph = study(target).graph
    nodes = contractions(graph)
    new = splice(graph, [clone_of(node, graph) for node in nodes])
    assert figures(check(new)) == figures(graph)
    assert {node.name for node in nodes}.isdisjoint(node.name for node in new.nodes)
    assert len(new.nodes) == len(graph.nodes) and set(new.weights) == set(graph.weights)


@settings(deadline=None, max_examples=8)
@given(st.sampled_from(sorted(TARGETS)), st.data())
def test_some_clones_cost_the_same(target: str, data: st.DataObject) -> None:
    graph = study(target).graph
    nodes = data.draw(st.lists(st.sampled_from(contractions(graph)), unique_by=lambda n: n.name))
    new = splice(graph, [clone_of(node, graph) for node in nodes])
    assert figures(check(new)) == figures(graph)


@pytest.mark.parametrize("target", TARGETS)
def test_parts_apart_add_up(target: str) -> None:
    """All blocks in one form at once: the model's figures and each block's own difference."""
    graph, blocks = study(target).graph, apart(target)
    for at in range(max(len(block.baselines) for block in blocks)):
        chosen = [block.baselines[min(at, len(block.baselines) - 1)] for block in blocks]
        new = check(splice(graph, [plain.patch for plain in chosen]))
        changes = [(plain.own, plain.cost) for plain in chosen]
        assert sums(figures(new)) == added(figures(graph), changes)


@pytest.mark.parametrize("target", TARGETS)
def test_some_parts_apart_add_up(target: str) -> None:
    """Any blocks, each in any of its forms, spliced in any order."""
    graph, blocks = study(target).graph, apart(target)
    before = figures(graph)
    forms = [(at, plain) for at, block in enumerate(blocks) for plain in block.baselines]
    numbers = st.integers(0, len(forms) - 1)

    @settings(deadline=None, max_examples=6)
    @given(st.lists(numbers, unique_by=lambda number: forms[number][0]))
    def law(drawn: list[int]) -> None:
        chosen = [forms[number][1] for number in drawn]
        new = check(splice(graph, [plain.patch for plain in chosen]))
        assert sums(figures(new)) == added(before, [(p.own, p.cost) for p in chosen])
        again = splice(graph, [plain.patch for plain in reversed(chosen)])
        assert figures(again) == figures(new)

    law()


@pytest.mark.parametrize("target", TARGETS)
def test_every_spliced_part_is_sound(target: str) -> None:
    """A block's part and each of its plain forms keep every invariant, and the border's types."""
    graph = study(target).graph
    for block in apart(target):
        part = check(subgraph(graph, block.nodes))
        for plain in block.baselines:
            new = check(splice(part, [plain.patch]))
            assert new.inputs == part.inputs
            assert [new.values[v] for v in new.outputs] == [part.values[v] for v in part.outputs]


def dense_pair() -> tuple[Draft, str, str, str]:
    """x → dense → relu → dense, on tokens."""
    d = Draft()
    x = d.input((1, 4, 8))
    first = d.node("einsum", (x, d.weight((8, 8), owner="a")), "a", equation="abY,YZ->abZ")
    bent = d.node("unary", (first,), "relu", fn="relu")
    last = d.node("einsum", (bent, d.weight((8, 8), owner="b")), "b", equation="abY,YZ->abZ")
    return d, x, bent, last


def test_what_takes_an_output_s_place_leaves_nothing_of_it() -> None:
    """A model whose output is replaced by its input does nothing any more."""
    d, x, _, last = dense_pair()
    graph = d.graph(last)
    new = check(splice(graph, [Patch(replace={last: x})]))
    assert new.outputs == (x,)
    assert [node.op for node in new.nodes] == ["input"]
    assert not new.weights


def test_what_takes_an_inner_place_leaves_what_reads_it() -> None:
    d, x, bent, last = dense_pair()
    new = check(splice(d.graph(last), [Patch(replace={bent: x})]))
    assert [node.op for node in new.nodes] == ["input", "einsum"]
    assert set(new.weights) == {"w1"} and new.nodes[-1].operands == (x, "w1")


def test_a_chain_of_replacements_is_followed() -> None:
    """One patch takes away what another one reads."""
    d, x, bent, last = dense_pair()
    twin = clone_of(next(n for n in d.nodes if n.outputs == (last,)), d.graph(last))
    for patches in ([twin, Patch(replace={bent: x})], [Patch(replace={bent: x}), twin]):
        new = check(splice(d.graph(last), patches))
        assert [node.op for node in new.nodes] == ["input", "einsum"]
        assert new.nodes[-1].operands[0] == x and new.outputs == (f"{last}'",)


def test_an_output_that_something_reads_too() -> None:
    """It is replaced in both places."""
    d, x, bent, last = dense_pair()
    new = check(splice(d.graph(bent, last), [Patch(replace={bent: x})]))
    assert new.outputs == (x, last)
    assert [node.op for node in new.nodes] == ["input", "einsum"]


@pytest.mark.parametrize(
    "type_", [TensorType((1, 4, 9), "float32"), TensorType((1, 4, 8), "float16")]
)
def test_another_type_is_refused(type_: TensorType) -> None:
    d, _, bent, last = dense_pair()
    node = Node(
        "new",
        "input",
        (),
        ("new",),
        {"shape": type_.shape, "dtype": type_.dtype},
        (),
        1,
        Origin("Layer", "new", 1),
    )
    patch = Patch(((bent, node),), {"new": type_}, {}, {bent: "new"})
    with pytest.raises(GraphError):
        splice(d.graph(last), [patch])


def test_another_type_is_refused_through_a_chain() -> None:
    """The type of what is read in the end decides."""
    d, x, bent, last = dense_pair()
    narrow = d.input((1, 4, 4))
    with pytest.raises(GraphError):
        splice(d.graph(last), [Patch(replace={bent: x}), Patch(replace={x: narrow})])


def test_a_weight_that_another_call_reads_stays() -> None:
    """A layer called twice, one call of which goes."""

    def build() -> keras.Model:
        x = keras.Input((4, 8))
        shared = layers.Dense(8, name="shared")
        y = layers.ReLU()(shared(x))
        return functional(x, layers.Add()([layers.Dense(8, name="own")(shared(y)), x]))

    graph = graph_of(build_abstractly(build))
    calls = [n for n in graph.nodes if n.origin.layer == "shared" and n.op == "binary"]
    assert len(calls) == 2
    (source,) = graph.inputs
    one = check(splice(graph, [Patch(replace={calls[1].outputs[0]: source})]))
    # The second call goes with the ReLU that it read, and that with the first call.
    assert sum(w.params for w in one.weights.values()) == 8 * 8 + 8
    first = graph.users[calls[0].outputs[0]][0]
    bent = check(splice(graph, [Patch(replace={first.outputs[0]: source})]))
    assert sum(w.params for w in bent.weights.values()) == 2 * (8 * 8 + 8)
    assert sum(node.origin.layer == "shared" for node in bent.nodes) == 2


def test_what_nobody_read_before_stays() -> None:
    """A node, a weight and a constant without a reader are the model's, and remain."""
    d, x, bent, last = dense_pair()
    d.weight((3, 5), owner="idle")
    d.constant((7,))
    d.node("unary", (x,), "aside", fn="exp")
    graph = check(d.graph(last))
    new = check(splice(graph, [Patch(replace={bent: x})]))
    assert "w2" in new.weights and "w0" not in new.weights
    assert "c0" in new.constants
    assert sorted(node.op for node in new.nodes) == ["einsum", "input", "unary"]


def test_a_weight_that_a_patch_brings_is_counted_once() -> None:
    """Two patches bring the same weight: one variable, read twice."""
    d, _, _, last = dense_pair()
    graph = d.graph(last)
    weight = Weight("new", "new", TensorType((8, 8), "float32"), True, "new")
    patches = []
    for node in contractions(graph):
        twin = clone_of(node, graph)
        ((anchor, made),) = twin.add
        made = replace(made, operands=(made.operands[0], "new"))
        values = {**twin.values, "new": weight.type}
        patches.append(Patch(((anchor, made),), values, {"new": weight}, twin.replace))
    new = check(splice(graph, patches))
    assert set(new.weights) == {"new"}
    assert figures(new).params == 64 and figures(new).macs == figures(graph).macs


def test_a_splice_leaves_its_graph_alone() -> None:
    target = "examples/squeezenet.py"
    graph = study(target).graph
    before = (graph.nodes, dict(graph.values), dict(graph.weights), graph.outputs)
    splice(graph, [block.baselines[0].patch for block in apart(target)])
    assert before == (graph.nodes, dict(graph.values), dict(graph.weights), graph.outputs)


# Cutting


@pytest.mark.parametrize("target", TARGETS)
def test_all_of_a_graph_costs_what_it_costs(target: str) -> None:
    """Weights that no node reads, as the counter of a Normalization, are in no part."""
    graph = study(target).graph
    part = check(subgraph(graph, graph.nodes))
    assert part.nodes == graph.nodes and set(part.outputs) == set(graph.outputs)
    assert set(part.weights) == set(graph.weights) & set(graph.users)
    idle = [weight for key, weight in graph.weights.items() if key not in graph.users]
    whole, found = figures(graph), figures(part)
    assert found.params + sum(weight.params for weight in idle) == whole.params
    assert found.weight_bytes + sum(weight.type.nbytes for weight in idle) == whole.weight_bytes
    assert replace(found, params=whole.params, weight_bytes=whole.weight_bytes) == whole
    assert cost_of(part) == cost_of(graph)


@pytest.mark.parametrize("target", TARGETS)
def test_cutting_in_two_adds_up(target: str) -> None:
    """At any layer boundary: MACs, FLOPs and traffic of both halves are the whole's, and no value
    of a layer is counted in both."""
    graph = study(target).graph
    whole = figures(graph)
    origins = list(dict.fromkeys(node.origin for node in graph.nodes))

    @settings(deadline=None, max_examples=5)
    @given(st.integers(1, len(origins) - 1))
    def law(at: int) -> None:
        first = set(origins[:at])
        parts = [
            figures(
                check(subgraph(graph, [n for n in graph.nodes if (n.origin in first) is early]))
            )
            for early in (True, False)
        ]
        for field in ("macs", "macs_valid", "flops", "bytes_moved", "activation_bytes"):
            assert sum(getattr(part, field) for part in parts) == getattr(whole, field)

    law()


def test_a_part_has_a_border() -> None:
    """What it reads from outside is its inputs; what others read, or nobody, its outputs."""
    d, _, bent, last = dense_pair()
    graph = d.graph(last)
    part = check(subgraph(graph, [n for n in graph.nodes if n.op == "unary"]))
    (reads,) = part.inputs
    assert reads == next(n for n in graph.nodes if n.op == "unary").operands[0]
    assert part.outputs == (bent,)
    assert [node.origin.kind for node in part.nodes] == [BORDER, "Layer"]
    assert not part.weights and figures(part).macs == 0


def test_of_patches_that_differ_the_first_is_kept() -> None:
    one = Patch(replace={"a": "b"})
    node = Node("n", "identity", ("a",), ("n",), {}, (), 1, Origin("Identity", "n", 1))
    other = Node("n", "identity", ("b",), ("n",), {}, (), 1, Origin("Identity", "n", 1))
    assert agreeing([one, Patch(replace={"a": "c"}), one]) == [one, one]
    first, second = Patch(add=(("x", node),)), Patch(add=(("x", other),))
    assert agreeing([first, second, first]) == [first, first]
