"""The residual bottleneck: reduce, convolve where it is narrow, expand (He et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from costlens.ir.edit import Patch
from costlens.motifs.draft import Draft, NoFit, own, strides_of
from costlens.motifs.match import (
    Form,
    Found,
    Match,
    Miss,
    Motif,
    following,
    is_full,
    is_pointwise,
    residual,
)
from costlens.motifs.skeleton import Skeleton, Unit


class _Chain(NamedTuple):
    reduce: Unit
    spatial: Unit
    expand: Unit


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """1×1 → k×k → 1×1 with a shortcut around it, no wider inside than outside."""
    for spatial in k.mixes:
        if not (is_full(spatial) and is_pointwise(k.source(spatial))):
            continue
        reduce = k.source(spatial)
        expand, _, inner, _ = following(k, spatial)
        if expand is None and any(is_pointwise(k.units[i]) for i, _ in k.uses[spatial.index]):
            yield Miss("bottleneck", spatial.index, "others read its inner maps too")
        if expand is None or not is_pointwise(expand) or k.sole(reduce) is not spatial:
            continue
        yield _judged(k, _Chain(reduce, spatial, expand), inner)
    yield from _longer(k)


def _longer(k: Skeleton, most: int = 6) -> Iterator[Miss]:
    """Residual blocks with more than one k×k between their 1×1s, such as R(2+1)D's."""
    for add in k.by_kind.get("add", ()):
        for link in add.links:
            expand = k.units[link.source]
            if not is_pointwise(expand) or k.sole(expand) is not add:
                continue
            inside, unit = list[Unit](), k.source(expand)
            while unit.kind in ("mix", "pool") and not is_pointwise(unit) and len(inside) < most:
                inside.append(unit)
                unit = k.source(unit)
            whole = all(k.sole(each) for each in (unit, *inside))
            if not (is_pointwise(unit) and len(inside) > 1 and any(map(is_full, inside)) and whole):
                continue
            if residual(k, add, expand, unit.links[0].source) is not None:
                yield Miss("bottleneck", expand.index, "more than a k×k stands between its 1×1s")


def _judged(k: Skeleton, chain: _Chain, inner: tuple[int, ...]) -> Match | Miss:
    reduce, spatial, expand = chain
    assert reduce.mix and spatial.mix and expand.mix
    end, _, outer, last = following(k, expand)
    path = residual(k, end, last, reduce.links[0].source)
    if path is None or end is None:
        return Miss("bottleneck", expand.index, "no addition with a shortcut around it follows")
    if spatial.mix.cout > expand.mix.cout:
        return Miss("bottleneck", expand.index, "it is wider inside than outside")
    parts = {
        "reduce": (reduce.index,),
        "spatial": (spatial.index,),
        "expand": (expand.index,),
        "inner_gate": inner,
        "gate": outer,
        "shortcut": path,
        "add": (end.index,),
    }
    sizes = {
        "in_channels": reduce.mix.cin,
        "width": reduce.mix.cout,
        "out_channels": expand.mix.cout,
        "groups": spatial.mix.groups,
        "kernel": max(spatial.mix.kernel),
        "stride": reduce.mix.stride * spatial.mix.stride * expand.mix.stride,
        "positions": k.positions(expand),
    }
    return Match("bottleneck", parts, sizes, (end.index,))


def _chain(k: Skeleton, match: Match) -> _Chain:
    return _Chain(*(k.units[match.parts[part][0]] for part in ("reduce", "spatial", "expand")))


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """One k×k at full width; two, as in the basic block. A gate between them goes."""
    chain = reduce, spatial, expand = _chain(k, match)
    width, x = match.sizes["out_channels"], reduce.links[0].value
    draft = Draft(k)
    draft.swap(expand, draft.conv(x, expand, width, spatial, strides=strides_of(*chain)))
    yield Form("one k×k at full width", draft.patch())
    draft = Draft(k)
    first = draft.conv(x, expand, width, spatial, strides=strides_of(*chain), layer=own(spatial))
    between = k.between(k.uses[spatial.index][-1][1])
    second = draft.keep(between, spatial.value, first, expand)
    draft.swap(expand, draft.conv(second, expand, width, spatial, strides=()))
    yield Form("two k×k at full width", draft.patch(), "the basic block of ResNet-18 and -34")


def resize(k: Skeleton, match: Match, width: int) -> Patch:
    """The bottleneck at another inner width."""
    reduce, spatial, expand = _chain(k, match)
    if match.parts["inner_gate"]:
        raise NoFit("its inner width is that of a gate too")
    assert spatial.mix
    draft = Draft(k)
    first = draft.again(reduce.links[0].value, reduce, width, own(reduce))
    first = draft.keep(k.between(spatial.links[0]), reduce.value, first, spatial)
    groups = spatial.mix.groups
    second = draft.again(first, spatial, width, own(spatial), groups)
    second = draft.keep(k.between(expand.links[0]), spatial.value, second, expand)
    draft.swap(expand, draft.again(second, expand, match.sizes["out_channels"]))
    return draft.patch()


MOTIF = Motif(
    "bottleneck",
    "Bottleneck (ResNet)",
    "a 1×1 in, a k×k (grouped or not), a 1×1 out, and an addition with a shortcut around the "
    "three; no wider inside than what comes out",
    "He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385",
    find,
    forms,
    resize,
)
