"""What a report needs to know of a study: a Study is one."""

from __future__ import annotations

from typing import Protocol

from costlens.analysis.blocks import Block, NearMiss
from costlens.analysis.memory import Memory
from costlens.analysis.pointwise import Pointwise, Share
from costlens.analysis.rows import Row
from costlens.analysis.savings import Savings
from costlens.analysis.totals import Coverage, Totals
from costlens.ir.graph import Graph


class Source(Protocol):
    """Where a graph comes from."""

    @property
    def target(self) -> str: ...
    @property
    def keras(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def others(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def line(self) -> int | None: ...
    @property
    def lines(self) -> tuple[int | None, ...]: ...


class Results(Protocol):
    """A graph and the analyses of it."""

    @property
    def graph(self) -> Graph: ...
    @property
    def source(self) -> Source: ...
    @property
    def layers(self) -> tuple[Row, ...]: ...
    @property
    def totals(self) -> Totals: ...
    @property
    def coverage(self) -> Coverage: ...
    @property
    def memory(self) -> Memory: ...
    @property
    def blocks(self) -> tuple[Block, ...]: ...
    @property
    def misses(self) -> tuple[NearMiss, ...]: ...
    @property
    def pointwise(self) -> tuple[Pointwise, ...]: ...
    @property
    def pointwise_shares(self) -> tuple[Share, ...]: ...
    @property
    def savings(self) -> Savings: ...
