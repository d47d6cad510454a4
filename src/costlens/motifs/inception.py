"""Inception modules: parallel branches with 1×1 reducers into one output (Szegedy et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.motifs.draft import Draft, strides_of
from costlens.motifs.match import (
    Form,
    Found,
    Match,
    Miss,
    Motif,
    channels_of,
    is_full,
    is_pointwise,
    residual,
)
from costlens.motifs.skeleton import Skeleton, Unit

_MOST = 64  # units of one module


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """Branches from one unit into one concat, a 1×1 before a k×k in at least one of them."""
    inner: set[int] = set()
    made: list[Match | Miss] = []
    for unit in reversed(k.by_kind.get("concat", ())):
        if unit.index in inner:
            continue
        start = k.entries[unit.index]
        inside = _inside(k, unit, start) if start >= 0 else None
        if inside is None:
            continue
        why = _why_not(k, unit, start, inside)
        if why:
            made.append(Miss("inception", unit.index, why))
            continue
        inner.update(inside)
        made.append(_match(k, unit, start, inside))
    yield from reversed(made)


def _inside(k: Skeleton, end: Unit, start: int) -> tuple[int, ...] | None:
    """The units between the entry of a module and its concat; None where others read them."""
    seen: set[int] = set()
    todo = [link.source for link in end.links]
    while todo:
        at = todo.pop()
        if at == start or at in seen:
            continue
        unit = k.units[at]
        if unit.kind not in ("mix", "pool", "concat") or unit.point or len(seen) == _MOST:
            return None
        readers = {k.units[i].kind for i, _ in k.uses[at]}
        if unit.kind == "concat" and readers != {"concat"}:
            return None
        seen.add(at)
        todo += [link.source for link in unit.links]
    open_ = any(i not in seen and i != end.index for at in seen for i, _ in k.uses[at])
    return None if open_ else tuple(sorted(seen))


def _reducers(k: Skeleton, start: int, inside: tuple[int, ...]) -> list[Unit]:
    """The 1×1s on the module's input that only k×ks read."""
    units = (k.units[at] for at in inside)
    return [
        unit
        for unit in units
        if is_pointwise(unit)
        and unit.links[0].source == start
        and all(is_full(k.units[i]) for i, _ in k.uses[unit.index])
    ]


def _why_not(k: Skeleton, end: Unit, start: int, inside: tuple[int, ...]) -> str:
    if any(link.source == start for link in end.links):
        return "its input itself is one of the maps that it concatenates"
    if sum(i in inside for i, _ in k.uses[start]) < 2:
        return "it has one branch"
    return "" if _reducers(k, start, inside) else "no 1×1 on its input is read by k×ks alone"


def _match(k: Skeleton, end: Unit, start: int, inside: tuple[int, ...]) -> Match:
    reducers = _reducers(k, start, inside)
    units = [k.units[at] for at in inside]
    project, added = _residual(k, end, start)
    parts = {
        "reduce": tuple(unit.index for unit in reducers),
        "spatial": tuple(unit.index for unit in units if is_full(unit)),
        "pool": tuple(unit.index for unit in units if unit.kind == "pool"),
        "branch": tuple(u.index for u in units if is_pointwise(u) and u not in reducers),
        "concat": (*(unit.index for unit in units if unit.kind == "concat"), end.index),
        "expand": (project.index,) if project else (),
        "add": (added.index,) if added else (),
    }
    last = added or end
    sizes = {
        "in_channels": channels_of(k, reducers[0].links[0].value),
        "reduced": sum(unit.mix.cout for unit in reducers if unit.mix),
        "spatial": sum(unit.mix.cout for unit in units if unit.mix and unit.mix.full),
        "out_channels": channels_of(k, last.value),
        "branches": sum(i in inside for i, _ in k.uses[start]),
        "positions": k.positions(last),
    }
    return Match("inception", parts, sizes, (last.index,))


def _residual(k: Skeleton, end: Unit, start: int) -> tuple[Unit | None, Unit | None]:
    """Inception-ResNet's 1×1 after the concat and the addition of the module's input."""
    project = k.sole(end)
    if project is None or not is_pointwise(project):
        return None, None
    add = k.sole(project)
    if residual(k, add, project, start) != ():
        return None, None
    return project, add


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """The naive module: every k×k behind a reducer straight on the module's input."""
    draft = Draft(k)
    for at in match.parts["reduce"]:
        reduce = k.units[at]
        for i, _ in k.uses[at]:
            spatial = k.units[i]
            assert spatial.mix and reduce.mix
            x = reduce.links[0].value
            strides = strides_of(reduce, spatial)
            made = draft.conv(x, spatial, spatial.mix.cout, spatial, strides=strides)
            draft.swap(spatial, made)
    yield Form("naive module", draft.patch(), "a projection behind a pool stays")


MOTIF = Motif(
    "inception",
    "Inception module",
    "two or more branches of convolutions and pools from one map into one concatenation (nested "
    "ones are one), with a 1×1 before a k×k; in Inception-ResNet also the 1×1 and the addition "
    "after it",
    "Szegedy et al., Going Deeper with Convolutions, CVPR 2015, arXiv:1409.4842",
    find,
    forms,
)
