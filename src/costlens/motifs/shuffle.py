"""ShuffleNet: grouped 1×1s, and a shuffle that lets the groups meet (Zhang et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.motifs.draft import Draft
from costlens.motifs.match import Form, Found, Match, Miss, Motif, is_depthwise, is_pointwise
from costlens.motifs.skeleton import Skeleton, Unit


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """1×1 → channel shuffle → [depthwise → 1×1], one of the 1×1s grouped."""
    held: set[int] = set()
    for shuffle in k.by_kind.get("shuffle", ()):
        first = k.source(shuffle)
        if not is_pointwise(first) or first.mix is None:
            continue
        spatial = k.sole(shuffle)
        last = k.sole(spatial) if spatial and is_depthwise(spatial) else None
        whole = last is not None and is_pointwise(last)
        points = [first, last] if whole and last else [first]
        grouped = [unit for unit in points if unit.mix and unit.mix.groups > 1]
        if not grouped:
            yield Miss("grouped_pointwise", shuffle.index, "none of its 1×1s is grouped")
            continue
        end = points[-1] if whole else shuffle
        held.update(unit.index for unit in grouped)
        parts = {
            "first": (first.index,),
            "shuffle": (shuffle.index,),
            "spatial": (spatial.index,) if whole and spatial else (),
            "last": (points[-1].index,) if whole else (),
        }
        yield Match("grouped_pointwise", parts, _sizes(k, first, grouped[0], end), (end.index,))
    for unit in k.pointwise:
        if unit.mix and unit.mix.groups > 1 and unit.index not in held:
            yield Miss("grouped_pointwise", unit.index, "no channel shuffle beside it")


def _sizes(k: Skeleton, first: Unit, grouped: Unit, end: Unit) -> dict[str, int]:
    assert first.mix and grouped.mix
    return {
        "in_channels": first.mix.cin,
        "width": first.mix.cout,
        "out_channels": end.mix.cout if end.mix else first.mix.cout,
        "groups": grouped.mix.groups,
        "positions": k.positions(end),
    }


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """The same 1×1s over all channels at once."""
    draft = Draft(k)
    for at in (*match.parts["first"], *match.parts["last"]):
        unit = k.units[at]
        if unit.mix is None or unit.mix.groups == 1:
            continue
        draft.swap(unit, draft.conv(unit.links[0].value, unit, unit.mix.cout, unit))
    yield Form("ungrouped", draft.patch(), "the shuffle stays")


MOTIF = Motif(
    "grouped_pointwise",
    "Grouped 1×1s with a channel shuffle (ShuffleNet)",
    "a 1×1 and a channel shuffle after it, with a depthwise k×k and a second 1×1 where they "
    "follow, at least one of the 1×1s grouped",
    "Zhang et al., ShuffleNet, CVPR 2018, arXiv:1707.01083",
    find,
    forms,
)
