"""Peak memory against a literal simulation of the run with sets of live buffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from costlens.analysis.memory import memory
from tests.analysis.sketch import Sketch, dense


@dataclass
class Run:
    """A graph, and what its builder knows of its buffers: which values share one."""

    sketch: Sketch
    buffer: dict[str, int] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def own(self, value: str) -> str:
        """The value has a buffer of its own."""
        self.buffer[value] = len(self.sizes)
        self.sizes.append(self.sketch.values[value].nbytes)
        return value

    def same(self, value: str, other: str) -> str:
        """The value lives in another one's buffer."""
        self.buffer[value] = self.buffer[other]
        return value

    def levels(self, outputs: Sequence[str]) -> list[int]:
        """Bytes alive at each op call, by carrying out the run step by step."""
        nodes, found = self.sketch.nodes, []
        alive = {self.buffer[value] for value in self.sketch.inputs}
        kept = {self.buffer[value] for value in outputs}
        for i, node in enumerate(nodes):
            alive |= {self.buffer[value] for value in node.outputs}
            found.append(sum(self.sizes[b] for b in alive))
            later = {self.buffer[v] for n in nodes[i + 1 :] for v in n.operands if v in self.buffer}
            coming = {self.buffer[v] for n in nodes[i + 1 :] for v in n.outputs}
            alive = {b for b in alive if b in later or b in kept or b in coming}
        return found


def test_a_branch_keeps_its_start_alive() -> None:
    """100 bytes feed two branches of 200; the sum needs both of them."""
    s = Sketch()
    x = s.input((25,))
    a = s.op("broadcast", (x,), "a", shape=(50,))
    b = s.op("broadcast", (x,), "b", shape=(50,))
    c = s.op("binary", (a, b), "sum", fn="add")
    found = memory(s.graph(c))
    assert [level for _, level in found.timeline] == [100, 300, 500, 600]
    assert (found.peak_bytes, found.at) == (600, "sum")
    assert {(t.layer, t.bytes) for t in found.live} == {("a", 200), ("b", 200), ("sum", 200)}


def test_the_bytes_alive_at_the_peak_sum_to_it() -> None:
    s = Sketch()
    found = memory(s.graph(dense(s, dense(s, s.input((1, 10)), 30, "a"), 20, "b")))
    assert sum(t.bytes for t in found.live) == found.peak_bytes == 4 * 50
    assert [t.bytes for t in found.live] == [120, 80]


def test_a_bias_needs_no_second_buffer_and_a_layer_does() -> None:
    s = Sketch()
    x = s.input((1, 10))
    y = dense(s, x, 10, "fc")
    assert memory(s.graph(y)).peak_bytes == 80
    z = s.op("unary", (y,), "relu", fn="relu")
    w = s.op("unary", (z,), "tanh", fn="tanh")
    found = memory(s.graph(w))
    assert (found.peak_bytes, [level for _, level in found.timeline]) == (80, [40, 80, 40, 80, 80])


def test_a_view_keeps_the_buffer_it_looks_into() -> None:
    s = Sketch()
    x = s.input((4, 5))
    y = s.op("unary", (x,), "act", fn="relu")
    flat = s.op("reshape", (y,), "flat", shape=(20,))
    other = s.op("unary", (x,), "other", fn="relu")
    back = s.op("reshape", (other,), "back", shape=(20,))
    z = s.op("binary", (flat, back), "sum", fn="add")
    assert [level for _, level in memory(s.graph(z)).timeline] == [80, 160, 160, 240, 160, 240]


def test_outputs_live_to_the_end_and_inputs_from_the_start() -> None:
    s = Sketch()
    x, late = s.input((25,)), s.input((5,), "late")
    early = s.op("unary", (x,), "early", fn="relu")
    y = s.op("unary", (late,), "y", fn="relu")
    z = s.op("unary", (y,), "z", fn="relu")
    found = memory(s.graph(early, z))
    assert [level for _, level in found.timeline] == [120, 120, 220, 140, 140]


def test_weights_and_constants_are_no_activations() -> None:
    s = Sketch()
    x, big = s.input((5,)), s.constant((5,))
    y = s.op("binary", (x, big), "add", fn="add")
    assert memory(s.graph(y)).peak_bytes == 40


def test_a_graph_without_nodes_has_no_peak() -> None:
    assert memory(Sketch().graph()).peak_bytes == 0


def test_a_loop_holds_what_it_reads_and_what_it_stacks() -> None:
    """A sequence of 9 × 3 and its 9 × 5 result are whole while the loop runs, its body is not."""
    s = Sketch()
    x, kernel = s.input((1, 9, 3)), s.weight((3, 5), "rnn")
    step = s.op("step", (x,), "rnn", repeat=9, axis=1)
    y = s.op("einsum", (step, kernel), "rnn", repeat=9, equation="ab,bc->ac")
    gate = s.op("unary", (y,), "rnn", repeat=9, fn="tanh")
    z = s.op("stack", (gate,), "rnn", axis=1, length=9)
    found = memory(s.graph(z))
    assert found.peak_bytes == 4 * (27 + 5 + 45)
    assert dict.fromkeys(t.bytes for t in found.live) == {180: None, 108: None, 20: None}


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, tuple[str, ...]]:
    """A random graph of layers over random earlier values: sums, views, in-place tails."""
    s = Sketch()
    run = Run(s)
    size = 12
    values = [run.own(s.input((size,), f"in{i}")) for i in range(draw(st.integers(1, 3)))]
    for i in range(draw(st.integers(1, 14))):
        x = draw(st.sampled_from(values))
        layer = f"layer{i}"
        match draw(st.sampled_from(("unary", "sum", "view", "grow", "tail"))):
            case "unary":
                made = run.own(s.op("unary", (x,), layer, fn="relu"))
            case "sum":
                other = draw(st.sampled_from(values))
                same = s.values[x].shape == s.values[other].shape
                made = run.own(s.op("binary", (x, other if same else x), layer, fn="add"))
            case "view":
                made = run.same(s.op("identity", (x,), layer), x)
            case "grow":
                wide = draw(st.sampled_from((3, 24, 50)))
                made = run.own(s.op("gather", (x,), layer, shape=(wide,)))
            case _:  # a contraction's bias and activation, in place by definition
                first = run.own(s.op("cumulative", (x,), layer, fn="cumsum", axis=0))
                second = run.same(s.op("unary", (first,), layer, fn="relu"), first)
                made = run.same(s.op("unary", (second,), layer, fn="tanh"), second)
        values.append(made)
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
    return run, tuple(outputs)


@settings(max_examples=300, deadline=None)
@given(runs())
def test_peak_and_timeline_equal_a_literal_simulation(case: tuple[Run, tuple[str, ...]]) -> None:
    run, outputs = case
    found = memory(run.sketch.graph(*outputs))
    levels = run.levels(outputs)
    assert [level for _, level in found.timeline] == levels
    assert found.peak_bytes == max(levels)
    assert found.at == run.sketch.nodes[levels.index(max(levels))].origin.layer
    assert sum(t.bytes for t in found.live) == found.peak_bytes


def test_what_a_loop_stacks_is_alive_from_its_start_wherever_the_stack_stands() -> None:
    """Another result of the loop may lead out first: 7 steps of 12 bytes are kept meanwhile."""
    s = Sketch()
    x = s.input((1, 7, 3))
    step = s.op("step", (x,), "rnn", repeat=7, axis=1)
    y = s.op("unary", (step,), "rnn", repeat=7, fn="tanh")
    last = s.op("last", (y,), "rnn")
    found = memory(s.graph(s.op("stack", (y,), "rnn", axis=1, length=7), last))
    assert found.timeline[1] == ("rnn", 84 + 84)
    assert found.peak_bytes == 84 + 84 + 12
