"""DenseNet: bottleneck layers that are concatenated on, and transitions (Huang et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.ir.edit import Patch
from costlens.motifs.draft import Draft, own, strides_of
from costlens.motifs.match import Form, Found, Match, Miss, Motif, is_full, is_pointwise
from costlens.motifs.skeleton import Skeleton, Unit


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """1×1 → k×k on a map that the result is concatenated onto."""
    for unit in k.by_kind.get("concat", ()):
        for chain, start in _grown(k, unit):
            reduce, *spatial = chain
            if not is_pointwise(reduce):
                continue
            assert reduce.mix and spatial[-1].mix and spatial[0].mix
            if not _carried(k, unit, start, spatial[-1]):
                yield Miss(
                    "dense_bottleneck", unit.index, "what its 1×1 reads is not concatenated too"
                )
                continue
            parts = {"reduce": (reduce.index,), "spatial": tuple(u.index for u in spatial)}
            sizes = {
                "in_channels": reduce.mix.cin,
                "width": reduce.mix.cout,
                "out_channels": spatial[-1].mix.cout,
                "kernel": max(spatial[0].mix.kernel),
                "positions": k.positions(spatial[-1]),
            }
            yield Match("dense_bottleneck", parts, sizes, (spatial[-1].index,))


def _grown(k: Skeleton, unit: Unit) -> Iterator[tuple[list[Unit], int]]:
    """Chains of k×ks into a concat, with a 1×1 before them where there is one, and their start."""
    for link in unit.links:
        chain = [k.units[link.source]]
        readers = k.uses[link.source]
        if not is_full(chain[0]) or readers[0][0] != unit.index:
            continue
        if any(k.units[i].kind != "concat" for i, _ in readers):
            continue
        while is_full(before := k.source(chain[0])) and k.sole(before) is chain[0]:
            chain.insert(0, before)
        if is_pointwise(before) and k.sole(before) is chain[0]:
            chain.insert(0, before)
        yield chain, chain[0].links[0].source


def _carried(k: Skeleton, unit: Unit, start: int, last: Unit) -> bool:
    """Whether a concat holds what a branch started from, as it is or as the maps it is made of."""
    held = {link.source for link in unit.links if link.source != last.index}
    made_of = {link.source for link in k.units[start].links}
    return start in held or (k.units[start].kind == "concat" and made_of <= held)


def grows(k: Skeleton, unit: Unit) -> bool:
    """Whether a concat puts new maps beside the one that they are made from."""
    return unit.kind == "concat" and any(
        _carried(k, unit, start, chain[-1]) for chain, start in _grown(k, unit)
    )


def find_transition(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """A 1×1 on a dense block's concat, then a pool."""
    for point in k.pointwise:
        pool = k.sole(point)
        if pool is None or pool.kind != "pool":
            continue
        assert point.mix
        if not grows(k, k.source(point)):
            yield Miss("transition", point.index, "it does not read a dense block")
            continue
        parts = {"reduce": (point.index,), "pool": (pool.index,)}
        sizes = {
            "in_channels": point.mix.cin,
            "out_channels": point.mix.cout,
            "positions": k.positions(point),
        }
        yield Match("transition", parts, sizes, (pool.index,))


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """The k×k straight on the concatenated map."""
    reduce, spatial = (k.units[match.parts[part][0]] for part in ("reduce", "spatial"))
    assert spatial.mix
    draft = Draft(k)
    x, strides = reduce.links[0].value, strides_of(reduce, spatial)
    draft.swap(spatial, draft.conv(x, spatial, spatial.mix.cout, spatial, strides=strides))
    yield Form("k×k without the 1×1", draft.patch())


def resize(k: Skeleton, match: Match, width: int) -> Patch:
    """The layer with another width between its 1×1 and its k×k."""
    reduce, spatial = (k.units[match.parts[part][0]] for part in ("reduce", "spatial"))
    assert spatial.mix
    draft = Draft(k)
    x = draft.again(reduce.links[0].value, reduce, width, own(reduce))
    x = draft.keep(k.between(spatial.links[0]), reduce.value, x, spatial)
    draft.swap(spatial, draft.again(x, spatial, spatial.mix.cout))
    return draft.patch()


def forms_transition(k: Skeleton, match: Match) -> Iterator[Form]:
    """A k×k in place of the 1×1."""
    point = k.units[match.parts["reduce"][0]]
    draft = Draft(k)
    width, x = match.sizes["out_channels"], point.links[0].value
    draft.swap(point, draft.conv(x, point, width, kernel=3))
    yield Form("3×3 in place of the 1×1", draft.patch())


MOTIF = Motif(
    "dense_bottleneck",
    "Bottleneck layer of a dense block (DenseNet-B)",
    "a 1×1 before a k×k whose output is concatenated onto the map that the 1×1 reads",
    "Huang et al., Densely Connected Convolutional Networks, CVPR 2017, arXiv:1608.06993",
    find,
    forms,
    resize,
)

TRANSITION = Motif(
    "transition",
    "Transition (DenseNet)",
    "a 1×1 on the concatenated maps of a dense block, and a pool directly after it",
    "Huang et al., Densely Connected Convolutional Networks, CVPR 2017, arXiv:1608.06993",
    find_transition,
    forms_transition,
)
