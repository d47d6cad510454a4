"""``ops.dot_product_attention``: its products by literal loops, its softmax by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.frontends.lowering.ops_support import Case, case, exists, f, graph, h, ops_in, present
from tests.support import cost_of

NAME = "dot_product_attention"
MASK = np.ones((2, 1, 5, 7), bool)
KEY = f(2, 7, 4, 3)

PLAIN = case(NAME, f(2, 5, 4, 3), KEY, KEY)
HALF = case(NAME, h(2, 5, 4, 3), h(2, 7, 4, 3), h(2, 7, 4, 3))
GROUPED = case(
    NAME,
    f(2, 5, 4, 3),
    h(2, 7, 2, 3),
    h(2, 7, 2, 3),
    bias=f(1, 4, 5, 7),
    mask=MASK,
    is_causal=True,
)
MULTI_QUERY = case(NAME, f(2, 5, 4, 3), f(2, 7, 1, 3), f(2, 7, 1, 3), mask=MASK, scale=0.5)
CASES = present([PLAIN, HALF, GROUPED, MULTI_QUERY])


@pytest.mark.parametrize("one", CASES, ids=str)
def test_products_by_literal_loops(one: Case) -> None:
    """Each of 4 query heads meets 7 keys for 5 queries over 3 features, twice (QKᵀ and AV)."""
    found = cost_of(graph(one))
    loops = itertools.product(range(2), range(4), range(5), range(7), range(3))
    assert found.macs == found.macs_valid == 2 * sum(1 for _ in loops)
    # 2·4·5 rows of 7 scores: one exponential and one division each
    assert (found.transcendentals, found.divs) == (40 * 7, 40 * 7)


def test_every_part_is_a_node_of_its_own() -> None:
    if exists(NAME):
        assert ops_in(graph(PLAIN)) == ["einsum", "binary", "softmax", "einsum"]
        grouped = ops_in(graph(GROUPED))
        assert (grouped.count("broadcast"), grouped.count("select")) == (2, 1)


def test_scores_are_kept_in_float32() -> None:
    if exists(NAME):
        half = graph(HALF)
        softmax = next(node for node in half.nodes if node.op == "softmax")
        assert half.values[softmax.outputs[0]].dtype == "float32"
        assert half.values[half.outputs[0]].dtype == "float16"


def test_a_value_of_another_head_size_is_left_unread() -> None:
    """Keras declares the query's shape there, which is not what comes out."""
    if exists(NAME):
        made = graph(case(NAME, f(2, 5, 4, 3), KEY, f(2, 7, 4, 6)))
        assert ops_in(made) == ["unknown"]
