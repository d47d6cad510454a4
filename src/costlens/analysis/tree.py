"""Rows selected, sorted, cut, and rolled up into the tree of their containers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from costlens.analysis.rows import Row
from costlens.ir.types import Shape


@dataclass(frozen=True, slots=True)
class Line:
    """A row, or a container with the sums over what it holds, at a level of the tree."""

    level: int
    label: str
    path: str
    type: str
    call: int
    output: Shape | None
    params: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    bytes_moved: int
    share_macs: float
    rows: int
    shared: bool
    at_least: frozenset[str]
    training_macs: int | None


def share(part: int, whole: int) -> float:
    """``part`` of ``whole``, rounded to 6 places; 0 where there is no whole."""
    return round(part / whole, 6) if whole else 0.0


def select(
    rows: Sequence[Row], layer: str | None = None, sort: str | None = None, top: int | None = None
) -> tuple[Row, ...]:
    """Rows whose path or type matches a glob, the largest first, and only the first ``top``."""
    picked = [
        row
        for row in rows
        if layer is None or fnmatchcase(row.path, layer) or fnmatchcase(row.type, layer)
    ]
    if sort is not None:
        picked.sort(key=lambda row: -int(getattr(row, sort)))
    return tuple(picked[:top])


def flat(rows: Sequence[Row], total_macs: int) -> tuple[Line, ...]:
    """One line per row, labelled with its whole path."""
    return tuple(_leaf(row, 0, row.path, total_macs) for row in rows)


def tree(rows: Sequence[Row], total_macs: int, depth: int | None = None) -> tuple[Line, ...]:
    """The rows under their containers; below ``depth`` levels only the containers' sums."""
    return tuple(_level(rows, 0, total_macs, depth))


def _level(rows: Sequence[Row], level: int, total: int, depth: int | None) -> Iterator[Line]:
    def container(row: Row) -> str | None:
        return row.scope[level] if len(row.scope) > level else None

    for name, group in groupby(rows, key=container):
        inside = list(group)
        if name is None:
            yield from (_leaf(row, level, _name(row), total) for row in inside)
            continue
        yield _sum(inside, level, name, total)
        if depth is None or level + 1 < depth:
            yield from _level(inside, level + 1, total, depth)


def _name(row: Row) -> str:
    """The layer's own name: its path without its containers."""
    prefix = "".join(f"{name}/" for name in row.scope)
    return row.path.removeprefix(prefix)


def _leaf(row: Row, level: int, label: str, total: int) -> Line:
    return Line(
        level=level,
        label=label,
        path=row.path,
        type=row.type,
        call=row.call,
        output=row.output_shapes[0] if row.output_shapes else None,
        params=row.params,
        macs=row.macs,
        flops=row.flops,
        weight_bytes=row.weight_bytes,
        activation_bytes=row.activation_bytes,
        bytes_moved=row.bytes_moved,
        share_macs=share(row.macs, total),
        rows=1,
        shared=row.shared,
        at_least=row.at_least,
        training_macs=row.training_macs,
    )


def _sum(rows: Sequence[Row], level: int, name: str, total: int) -> Line:
    macs = sum(row.macs for row in rows)
    return Line(
        level=level,
        label=name,
        path="/".join(rows[0].scope[: level + 1]),
        type="1 layer" if len(rows) == 1 else f"{len(rows):,} layers",
        call=0,
        output=rows[-1].output_shapes[0] if rows[-1].output_shapes else None,
        params=sum(row.params for row in rows),
        macs=macs,
        flops=sum(row.flops for row in rows),
        weight_bytes=sum(row.weight_bytes for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        bytes_moved=sum(row.bytes_moved for row in rows),
        share_macs=share(macs, total),
        rows=len(rows),
        shared=False,
        at_least=_bounds(rows),
        training_macs=_trained(rows),
    )


def _trained(rows: Sequence[Row]) -> int | None:
    known = [row.training_macs for row in rows if row.training_macs is not None]
    return sum(known) if known else None


def _bounds(rows: Sequence[Row]) -> frozenset[str]:
    return frozenset().union(*(row.at_least for row in rows))


@dataclass(frozen=True, slots=True)
class Group:
    """All rows of one layer type together."""

    type: str
    calls: int
    params: int
    macs: int
    flops: int
    activation_bytes: int
    share_macs: float
    at_least: frozenset[str]


def by_type(rows: Sequence[Row], total_macs: int) -> tuple[Group, ...]:
    """Sums by layer type, the most MACs first, then the most FLOPs."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.type, []).append(row)
    made = [
        Group(
            type=kind,
            calls=len(same),
            params=sum(row.params for row in same),
            macs=(macs := sum(row.macs for row in same)),
            flops=sum(row.flops for row in same),
            activation_bytes=sum(row.activation_bytes for row in same),
            share_macs=share(macs, total_macs),
            at_least=_bounds(same),
        )
        for kind, same in groups.items()
    ]
    return tuple(sorted(made, key=lambda g: (-g.macs, -g.flops, -g.params, g.type)))


@dataclass(frozen=True, slots=True)
class HotSpot:
    """The layer that leads in one figure, and its share of the total."""

    measure: str
    path: str
    type: str
    value: int
    share: float


def hot_spots(rows: Sequence[Row], each: int = 3) -> tuple[HotSpot, ...]:
    """The largest rows in MACs, parameters, activations and bytes moved."""
    found = []
    for measure in ("macs", "params", "activation_bytes", "bytes_moved"):
        total = sum(getattr(row, measure) for row in rows)
        leaders = sorted(rows, key=lambda row: -int(getattr(row, measure)))[:each]
        found += [
            HotSpot(measure, row.path, row.type, value, share(value, total))
            for row in leaders
            if (value := int(getattr(row, measure)))
        ]
    return tuple(found)
