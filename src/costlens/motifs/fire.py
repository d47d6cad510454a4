"""SqueezeNet's fire module: a 1×1 squeeze feeds a 1×1 and a k×k (Iandola et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.ir.edit import Patch
from costlens.motifs.draft import Draft, own
from costlens.motifs.match import Form, Found, Match, Miss, Motif, is_full, is_pointwise
from costlens.motifs.skeleton import Skeleton, Unit


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """1×1 squeeze → (1×1, k×k) → concat."""
    for unit in k.by_kind.get("concat", ()):
        if len(unit.links) != 2:
            continue
        first, second = (k.units[link.source] for link in unit.links)
        point, spatial = (first, second) if is_full(second) else (second, first)
        if not (is_pointwise(point) and is_full(spatial)):
            continue
        squeeze = k.source(point)
        if k.source(spatial) is not squeeze or not is_pointwise(squeeze):
            continue
        yield _judged(k, unit, squeeze, point, spatial)


def _judged(k: Skeleton, unit: Unit, squeeze: Unit, point: Unit, spatial: Unit) -> Match | Miss:
    assert squeeze.mix and point.mix and spatial.mix
    if {at for at, _ in k.uses[squeeze.index]} != {point.index, spatial.index}:
        return Miss("fire", unit.index, "others read its squeeze too")
    if k.sole(point) is not unit or k.sole(spatial) is not unit:
        return Miss("fire", unit.index, "others read its expansions too")
    out = point.mix.cout + spatial.mix.cout
    if squeeze.mix.cout >= out:
        return Miss("fire", unit.index, "its first 1×1 is no narrower than what it gives")
    parts = {
        "squeeze": (squeeze.index,),
        "expand1x1": (point.index,),
        "expand": (spatial.index,),
        "concat": (unit.index,),
    }
    sizes = {
        "in_channels": squeeze.mix.cin,
        "width": squeeze.mix.cout,
        "expand1x1": point.mix.cout,
        "expand": spatial.mix.cout,
        "out_channels": out,
        "kernel": max(spatial.mix.kernel),
        "positions": k.positions(unit),
    }
    return Match("fire", parts, sizes, (unit.index,))


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """One k×k to all channels, with what follows the module's own k×k."""
    squeeze, spatial, end = (k.units[match.parts[p][0]] for p in ("squeeze", "expand", "concat"))
    draft = Draft(k)
    width, layer = match.sizes["out_channels"], own(spatial)
    x = draft.conv(squeeze.links[0].value, spatial, width, spatial, layer=layer)
    link = next(link for link in end.links if link.source == spatial.index)
    draft.replace(end.value, draft.keep(k.between(link), spatial.value, x, spatial))
    yield Form("one k×k", draft.patch())


def resize(k: Skeleton, match: Match, width: int) -> Patch:
    """The module with another squeeze."""
    squeeze, point, spatial = (
        k.units[match.parts[part][0]] for part in ("squeeze", "expand1x1", "expand")
    )
    draft = Draft(k)
    x = draft.again(squeeze.links[0].value, squeeze, width, own(squeeze))
    assert point.mix and spatial.mix
    kept: dict[str, str] = {}
    for unit in (point, spatial):
        assert unit.mix
        link = unit.links[0]
        if link.value not in kept:
            kept[link.value] = draft.keep(k.between(link), squeeze.value, x, squeeze)
        draft.swap(unit, draft.again(kept[link.value], unit, unit.mix.cout))
    return draft.patch()


MOTIF = Motif(
    "fire",
    "Fire module (SqueezeNet)",
    "a 1×1 that a 1×1 and a k×k alone read, their outputs concatenated, wider than the first",
    "Iandola et al., SqueezeNet, 2016, arXiv:1602.07360",
    find,
    forms,
    resize,
)
