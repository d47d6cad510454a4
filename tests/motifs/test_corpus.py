"""Motif counts, exactly and zeros included, on the applications, the examples and the styles.

A variant is the same network written otherwise: it has the same counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import pytest

import costlens
from costlens.frontends import Source
from costlens.ir.graph import Graph
from costlens.study import Study
from tests.motifs.expected import APPLICATIONS, EXAMPLE_VARIANTS, EXAMPLES, MOTIFS, Counts
from tests.motifs.styles import STYLES
from tests.motifs.variants import TRANSFORMS, channels_first, nested
from tests.oracles.traced import build_abstractly

DIRECTORY = Path(__file__).parents[2] / "examples"


def counted(study: Study) -> Counts:
    """How often each motif was found, as a complete mapping."""
    found = Counter(block.motif for block in study.blocks)
    assert set(found) <= set(MOTIFS)
    return {motif: found[motif] for motif in MOTIFS}


def counted_in(graph: Graph) -> Counts:
    return counted(Study(graph, Source("", "", "")))


def differences(want: Counts, found: dict[str, Counts]) -> dict[str, dict[str, str]]:
    """By variant and motif, what is not as expected."""
    return {
        variant: wrong
        for variant, got in found.items()
        if (wrong := {m: f"{got[m]}, not {want[m]}" for m in MOTIFS if got[m] != want[m]})
    }


def all_variants(model: keras.Model) -> dict[str, Counts]:
    """The counts of a model as it is, transformed in every way, nested, and on a batch."""
    study = costlens.analyze(model)
    assert study.coverage.complete
    found = {"as it is": counted(study)}
    found |= {name: counted_in(change(study.graph)) for name, change in TRANSFORMS.items()}
    found["nested in another model"] = counted(costlens.analyze(nested(model)))
    found["on a batch of three"] = counted(costlens.analyze(model, batch=3))
    return found


def application(name: str) -> keras.Model:
    """The application at its default size."""
    options: dict[str, Any] = {"weights": None}
    first = keras.config.image_data_format() == "channels_first"
    if first and name.startswith("EfficientNetV2"):  # Keras 3.8 rescales channels last only
        options["include_preprocessing"] = False
    if name.startswith("MobileNetV3"):  # which leaves its size open
        options["input_shape"] = (3, 224, 224) if first else (224, 224, 3)
    return getattr(keras.applications, name)(**options)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_application(name: str) -> None:
    """Precision and recall are 1, whatever is renamed, folded, split, replaced or nested."""
    found = all_variants(build_abstractly(application, name))
    assert differences(APPLICATIONS[name], found) == {}


#: One of each family; the others differ in depth and width alone. ConvNeXt, DenseNet and NASNet
#: refuse to be built with channels first.
FIRST = (
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
)


@pytest.mark.parametrize("name", FIRST)
def test_application_with_channels_first(name: str) -> None:
    model = channels_first(lambda: application(name))
    assert model.inputs[0].shape[1] == 3
    found = {"channels first": counted(costlens.analyze(model))}
    assert differences(APPLICATIONS[name], found) == {}


def test_every_application_is_counted() -> None:
    known = {name for name in vars(keras.applications) if name[0].isupper()}
    assert known == set(APPLICATIONS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    found = {"as it is": counted(costlens.analyze(f"{DIRECTORY}/{name}.py"))}
    assert differences(EXAMPLES[name], found) == {}


@pytest.mark.parametrize("target", EXAMPLE_VARIANTS)
def test_example_in_another_form(target: str) -> None:
    found = {"as it is": counted(costlens.analyze(f"{DIRECTORY}/{target}"))}
    assert differences(EXAMPLE_VARIANTS[target], found) == {}


def test_every_example_is_counted() -> None:
    assert set(EXAMPLES) == {path.stem for path in DIRECTORY.glob("*.py")}


@pytest.mark.parametrize("name", STYLES)
def test_style(name: str) -> None:
    """Models as others write them, with the same variants."""
    style = STYLES[name]
    found = all_variants(build_abstractly(style.build))
    assert differences(style.expected, found) == {}


def test_the_styles_show_every_motif() -> None:
    """In more than one style, and each beside many in which it does not occur."""
    for motif in MOTIFS:
        showing = [name for name, style in STYLES.items() if style.expected[motif]]
        assert len(showing) > 1, motif
        assert len(STYLES) - len(showing) > 50, motif


# The variants themselves: each does what it says.


@cache
def efficientnet() -> Graph:
    """A graph with norms, activations in both places, gates and 1×1s."""
    return costlens.analyze(build_abstractly(application, "EfficientNetB0")).graph


def count(graph: Graph, is_one: Callable[[Any], bool]) -> int:
    return sum(map(is_one, graph.nodes))


def test_nothing_keeps_its_name() -> None:
    graph = efficientnet()
    other = TRANSFORMS["every name is scrambled"](graph)
    for names in (
        lambda g: {node.name for node in g.nodes},
        lambda g: set(g.values),
        lambda g: {node.origin.layer for node in g.nodes},
        lambda g: {node.origin.kind for node in g.nodes},
        lambda g: {scope for node in g.nodes for scope in node.scope},
        lambda g: {weight.path for weight in g.weights.values()},
    ):
        assert len(names(graph)) == len(names(other))
        assert names(graph).isdisjoint(names(other))


def test_norms_are_gone() -> None:
    graph = efficientnet()
    other = TRANSFORMS["norms are folded away"](graph)
    norms = count(graph, lambda node: node.op == "batch_norm")
    assert norms == 1 + 15 + 16 + 16 + 1 and count(other, lambda node: node.op == "batch_norm") == 0
    assert len(graph.nodes) - len(other.nodes) == norms
    assert len(graph.weights) - len(other.weights) == 4 * norms


def test_activations_move() -> None:
    """Swishes of stem, expansions, depthwises and top become arguments; two a gate, layers."""
    graph = efficientnet()

    def own(g: Graph) -> int:
        sizes = Counter(node.origin for node in g.nodes)
        alone = (node for node in g.nodes if node.op == "unary" and sizes[node.origin] == 1)
        return sum(node.attrs["fn"] in ("silu", "sigmoid") for node in alone)

    assert own(graph) == 1 + 15 + 16 + 1
    assert own(TRANSFORMS["activations are arguments"](graph)) == 0
    assert own(TRANSFORMS["activations are layers"](graph)) == 33 + 2 * 16


def test_no_1x1_is_a_convolution() -> None:
    graph = efficientnet()
    other = TRANSFORMS["Dense replaces 1×1 convolutions"](graph)

    def pointwise(g: Graph) -> int:
        return count(g, lambda n: n.op == "conv" and set(g.values[n.operands[1]].shape[:2]) == {1})

    assert pointwise(graph) == 15 + 16 + 2 * 16 + 1  # expansions, projections, gates, top
    assert pointwise(other) == 0
    assert count(other, lambda n: n.op == "einsum") == 64 + 1
