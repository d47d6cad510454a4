"""What a block would cost at other inner widths, and from which width on it stops saving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from costlens.analysis.blocks import Block
from costlens.analysis.figures import Figures, figures
from costlens.ir.edit import splice, subgraph
from costlens.motifs.catalogue import BY_ID
from costlens.motifs.draft import NoFit
from costlens.motifs.skeleton import Skeleton

RATIOS = (2, 4, 8, 16)
EXPANSIONS = (1, 2, 4, 6)


@dataclass(frozen=True, slots=True)
class Point:
    """The block at one inner width; ``ratio`` is of ``base`` channels, below 1 where it expands."""

    ratio: Fraction
    width: int
    cost: Figures


@dataclass(frozen=True, slots=True)
class Sweep:
    """MACs(w) = a·w² + b·w + c over the inner width w, exactly, and points on it.

    ``plain`` is the first plain form; ``even`` the width at which the block costs as many MACs as
    it, rounded down, and None where no width from 1 does (a gate saves nothing).
    """

    base: int
    unit: int
    a: Fraction
    b: Fraction
    c: Fraction
    plain: str
    plain_macs: int
    even: int | None
    points: tuple[Point, ...]

    @property
    def even_ratio(self) -> float | None:
        """The reduction ratio at the break-even, to 3 places."""
        return round(self.base / self.even, 3) if self.even else None


def sweep(k: Skeleton, block: Block) -> Sweep | None:
    """The block at ratios of 2, 4, 8 and 16 (or expansions of 1, 2, 4 and 6).

    None where its inner width is not one number, or it has no plain form.
    """
    resize = BY_ID[block.motif].resize
    if resize is None or not block.baselines:
        return None
    part = subgraph(k.graph, block.nodes)

    def at(width: int) -> Figures:
        return figures(splice(part, [resize(k, block.match, width)]))

    base = block.sizes.get("channels") or block.sizes["out_channels"]
    expands = block.motif in ("inverted_residual", "transformer_mlp")
    if expands or block.motif == "dense_bottleneck":
        base = block.sizes["in_channels"]
    unit = block.sizes.get("groups", 1)
    try:
        a, b, c = _quadratic(unit, [at(unit * n).macs for n in (1, 2, 3)])
        points = tuple(
            Point(Fraction(base, width), width, at(width))
            for width in dict.fromkeys(_widths(base, unit, expands))
        )
    except NoFit:
        return None
    plain = block.baselines[-1] if expands else block.baselines[0]
    even = None if block.motif == "channel_attention" else _even(a, b, c - plain.macs, unit)
    return Sweep(base, unit, a, b, c, plain.name, plain.macs, even, points)


def _widths(base: int, unit: int, expands: bool) -> list[int]:
    if expands:
        return [base * t for t in EXPANSIONS]
    return [width for r in RATIOS if (width := base // r // unit * unit)]


def _quadratic(unit: int, macs: Sequence[int]) -> tuple[Fraction, Fraction, Fraction]:
    """The polynomial through the values at 1, 2 and 3 units."""
    one, two, three = macs
    second = Fraction(three - 2 * two + one, 2)
    first = two - one - 3 * second
    return second / unit**2, first / unit, one - first - second


def _even(a: Fraction, b: Fraction, c: Fraction, unit: int) -> int | None:
    """The largest multiple of ``unit`` at which a·w² + b·w + c ≤ 0; None where there is none."""
    if c > 0 or (a == 0 and b <= 0) or a < 0:
        return None
    if a == 0:
        width = int(-c / b)
    else:
        scale = (a.denominator * b.denominator * c.denominator) ** 2
        root = Fraction(isqrt(int((b * b - 4 * a * c) * scale * 10**12)), isqrt(scale) * 10**6)
        width = int((root - b) / (2 * a)) + 1
    width = width // unit * unit
    while width > 0 and a * width * width + b * width + c > 0:
        width -= unit
    return width or None
