"""The one place that runs the analyses: a Study is a graph and everything found out about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from costlens import frontends
from costlens.analysis import blocks as block_analysis
from costlens.analysis import memory as memory_analysis
from costlens.analysis import pointwise as pointwise_analysis
from costlens.analysis import rows as row_analysis
from costlens.analysis import savings as savings_analysis
from costlens.analysis import sweep as sweep_analysis
from costlens.analysis import totals as totals_analysis
from costlens.analysis import verify as verify_analysis
from costlens.cost.cost import Cost
from costlens.cost.registry import price
from costlens.frontends import ABSTRACTLY, Inputs, InputShape, Reading, Running, Source, Wanted
from costlens.ir.graph import Graph
from costlens.motifs.catalogue import search
from costlens.motifs.match import Found
from costlens.motifs.reduce import skeleton
from costlens.motifs.skeleton import Skeleton

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Study:
    """One model's graph, its costs, and the results of the analyses, each run when first read.

    ``traced`` is the same model as its framework traces it, and ``step`` a training step of it,
    where they were asked for.
    """

    graph: Graph
    source: Source
    traced: Graph | None = None
    step: Graph | None = None

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        """The op vector of each node of the graph, in order."""
        return price(self.graph)

    @cached_property
    def layers(self) -> tuple[row_analysis.Row, ...]:
        """One row per call of a leaf layer or operation, in execution order."""
        made = row_analysis.rows(self.graph, self.costs)
        if self.step is None:
            return made
        return row_analysis.with_training(made, self.step, price(self.step))

    @cached_property
    def verification(self) -> verify_analysis.Verification | None:
        """The comparison with the traced graph; None where none was asked for."""
        if self.traced is None:
            return None
        costs = price(self.traced)
        return verify_analysis.verify(
            self.graph, self.costs, self.traced, costs, self.source.witness
        )

    @cached_property
    def memory(self) -> memory_analysis.Memory:
        """Peak activation memory, and what is alive at it."""
        return memory_analysis.memory(self.graph)

    @cached_property
    def totals(self) -> totals_analysis.Totals:
        """What the whole model costs."""
        return totals_analysis.totals(self.graph, self.costs, self.layers, self.memory.peak_bytes)

    @cached_property
    def coverage(self) -> totals_analysis.Coverage:
        """How much of the model is counted."""
        return totals_analysis.coverage(self.graph)

    @cached_property
    def skeleton(self) -> Skeleton:
        """The graph reduced to what tells block families apart."""
        return skeleton(self.graph)

    @cached_property
    def found(self) -> Found:
        """Every match and near miss of every motif."""
        return search(self.skeleton)

    @cached_property
    def blocks(self) -> tuple[block_analysis.Block, ...]:
        """The blocks that are built on 1×1s, each with its plain forms."""
        return block_analysis.blocks(self.skeleton, self.found)

    @cached_property
    def misses(self) -> tuple[block_analysis.NearMiss, ...]:
        """What looked like a block and is none, each with the reason."""
        return tuple(block_analysis.misses(self.skeleton, self.found))

    @cached_property
    def savings(self) -> savings_analysis.Savings:
        """What the blocks save together, the whole model re-priced."""
        return savings_analysis.Savings(self.graph, self.blocks)

    def sweep(self, block: block_analysis.Block) -> sweep_analysis.Sweep | None:
        """A block at other inner widths; None where its inner width is not one number."""
        return sweep_analysis.sweep(self.skeleton, block)

    @cached_property
    def pointwise_shares(self) -> tuple[pointwise_analysis.Share, ...]:
        """The 1×1s by role, and all together: their share of the model."""
        return pointwise_analysis.shares(self.pointwise, self.totals)

    @cached_property
    def pointwise(self) -> tuple[pointwise_analysis.Pointwise, ...]:
        """Every 1×1: its role, cost, share and, outside blocks, its plain form."""
        return pointwise_analysis.pointwise(self.skeleton, self.found, self.costs, self.blocks)

    def to_networkx(self, level: str = "op") -> nx.MultiDiGraph[str]:
        """The graph at op, layer or block level, costs as typed attributes.

        Raises InputError for another level.
        """
        from costlens.export.networkx import to_networkx

        return to_networkx(self.graph, self.costs, self.layers, level, lambda: self.blocks)

    def to_markdown(self) -> str:
        """The analysis as GitHub-flavoured Markdown."""
        from costlens.report.build import summary
        from costlens.report.markdown import render

        return render(summary(self))

    def to_json(self) -> str:
        """The analysis as JSON, schema ``costlens/1``."""
        from costlens.report.data import data

        return json.dumps(data(self), indent=2, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """The rows as CSV."""
        from costlens.report.csv import render

        return render(self.layers)

    def __str__(self) -> str:
        from costlens.report.build import summary
        from costlens.report.terminal import render

        return render(summary(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from costlens.report.build import summary
        from costlens.report.terminal import render_html

        return render_html(summary(self))


def analyze(
    model_or_target: Any,
    batch: int | None = None,
    input_shape: InputShape = None,
    training: bool = False,
    dims: Mapping[str, int] | None = None,
    inputs: Inputs | None = None,
    verify: bool = False,
    imports: Sequence[str] = (),
    running: Running = ABSTRACTLY,
) -> Study:
    """Read a Keras model, or a TARGET such as ``"model.py:build(width=0.5)"``, and price it.

    ``batch`` and ``input_shape`` (without the batch axis; one shape, a list of them, or a dict by
    input name) settle what the model leaves open; an open batch is 1. ``dims`` settles the length
    that a layer leaves open, by its path. ``inputs`` says what a subclassed model takes: by name,
    a dtype and a whole shape, ``{"tokens": ("int32", (1, 128))}``. ``training`` adds the MACs of a
    training step and ``verify`` a second, traced count of the same model. ``imports`` are Python
    files with layers of your own that a saved model needs; they are run. ``running`` says how a
    script is run: its arguments, for real, and for how long. Raises CostlensError where the model
    cannot be read.
    """
    wanted = Wanted(batch, input_shape, dims, inputs, tuple(imports), verify, training)
    return study_of(frontends.read(model_or_target, wanted, running))


def study_of(reading: Reading) -> Study:
    """The study of what a front end has read."""
    return Study(reading.graph, reading.source, reading.traced, reading.step)
