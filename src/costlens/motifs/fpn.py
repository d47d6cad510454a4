"""Feature pyramids: 1×1 laterals, upsample and add, k×k smoothing (Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from costlens.motifs.draft import Draft
from costlens.motifs.match import Form, Found, Match, Miss, Motif, is_full, is_pointwise
from costlens.motifs.skeleton import Skeleton, Unit


class _Level(NamedTuple):
    lateral: Unit
    ups: tuple[Unit, ...]
    add: Unit


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """Pyramids: chains of additions of a lateral and the upsampled level above it."""
    tops: dict[int, list[_Level]] = {}
    for add in k.by_kind.get("add", ()):
        level = _level(k, add)
        if level is None:
            continue
        lateral, ups = level
        above = ups[0].links[0].source
        chain = tops.pop(above, None)
        if chain is None and not is_pointwise(k.units[above]):
            continue
        tops[add.index] = [*(chain or []), _Level(lateral, ups, add)]
    for levels in tops.values():
        yield _judged(k, levels)


def _level(k: Skeleton, add: Unit) -> tuple[Unit, tuple[Unit, ...]] | None:
    """The lateral 1×1 and the upsampling (of one or more steps) that an addition merges."""
    if len(add.links) != 2:
        return None
    for mine, other in (add.links, add.links[::-1]):
        lateral, ups = k.units[mine.source], [k.units[other.source]]
        if not (is_pointwise(lateral) and _grows(ups[0])):
            continue
        while _grows(before := k.source(ups[0])) and k.sole(before) is ups[0]:
            ups.insert(0, before)
        return lateral, tuple(ups)
    return None


def _grows(unit: Unit) -> bool:
    return unit.kind == "resize" or (unit.mix is not None and unit.mix.transposed)


def _judged(k: Skeleton, levels: list[_Level]) -> Match | Miss:
    top = k.source(levels[0].ups[0])
    laterals = [top, *(level.lateral for level in levels)]
    merged = [top, *(level.add for level in levels)]
    smooth = [k.units[i] for unit in merged for i, _ in k.uses[unit.index] if is_full(k.units[i])]
    last = levels[-1].add
    if len({lateral.links[0].source for lateral in laterals}) < len(laterals):
        return Miss("fpn", last.index, "its laterals read the same map")
    if not smooth:
        return Miss("fpn", last.index, "no k×k smooths its levels")
    assert top.mix and smooth[0].mix
    parts = {
        "lateral": tuple(unit.index for unit in laterals),
        "upsample": tuple(up.index for level in levels for up in level.ups),
        "add": tuple(level.add.index for level in levels),
        "smooth": tuple(unit.index for unit in smooth),
    }
    sizes = {
        "levels": len(laterals),
        "width": top.mix.cout,
        "kernel": max(smooth[0].mix.kernel),
    }
    return Match("fpn", parts, sizes, tuple(unit.index for unit in smooth))


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """k×k laterals; smoothing straight on the maps that the laterals read."""
    draft = Draft(k)
    smooth = k.units[match.parts["smooth"][0]]
    for at in match.parts["lateral"]:
        unit = k.units[at]
        assert unit.mix
        draft.swap(unit, draft.conv(unit.links[0].value, unit, unit.mix.cout, smooth))
    yield Form("k×k laterals", draft.patch())
    draft = Draft(k)
    merged = (match.parts["lateral"][0], *match.parts["add"])
    for at, lateral in zip(merged, match.parts["lateral"], strict=True):
        for i, _ in k.uses[at]:
            if i in match.parts["smooth"]:
                unit, x = k.units[i], k.units[lateral].links[0].value
                assert unit.mix
                draft.swap(unit, draft.conv(x, unit, unit.mix.cout, unit))
    yield Form("k×k straight on the maps", draft.patch(), "no laterals, nothing from above")


MOTIF = Motif(
    "fpn",
    "Feature pyramid (FPN)",
    "1×1s on two or more maps, each added to the upsampled level above it, and k×ks (not "
    "depthwise) that smooth",
    "Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017, arXiv:1612.03144",
    find,
    forms,
)
