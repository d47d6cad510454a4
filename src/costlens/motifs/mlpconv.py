"""Network in Network: activated 1×1s stacked on a convolution (Lin, Chen & Yan 2014)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from costlens.motifs.draft import Draft, own
from costlens.motifs.match import (
    Form,
    Found,
    Match,
    Miss,
    Motif,
    all_activated,
    is_full,
    is_pointwise,
    residual,
)
from costlens.motifs.skeleton import Skeleton, Unit


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """[k×k →] two or more activated 1×1s, no shortcut around them."""
    seen: set[int] = set()
    for unit in k.pointwise:
        if unit.index in seen or not _stacks(k, found, unit):
            continue
        stack = [unit]
        while (after := k.sole(stack[-1])) is not None and _stacks(k, found, after):
            stack.append(after)
        seen.update(u.index for u in stack)
        if len(stack) > 1:
            yield _judged(k, stack)


def _stacks(k: Skeleton, found: Found, unit: Unit) -> bool:
    """Whether a unit can be one of the stacked 1×1s."""
    return (
        is_pointwise(unit)
        and unit.mix is not None
        and unit.mix.groups == unit.mix.stride == 1
        and not unit.point
        and all_activated(k, unit)
        and not found.claimed(unit)
    )


def _judged(k: Skeleton, stack: Sequence[Unit]) -> Match | Miss:
    lead = k.source(stack[0])
    led = is_full(lead) and stack[0].links[0].activated and k.sole(lead) is stack[0]
    start = (lead if led else stack[0]).links[0].source
    last = stack[-1]
    why = ""
    if not led and lead.kind not in ("pool", "input"):
        why = "neither an activated k×k nor a pool or an input stands before it"
    elif residual(k, k.sole(last), last, start) is not None:
        why = "a shortcut goes around it"
    if why:
        return Miss("mlpconv", last.index, why)
    after = k.sole(last)
    pool = after if after is not None and after.kind == "squeeze" else None
    parts = {
        "spatial": (lead.index,) if led else (),
        "mlp": tuple(unit.index for unit in stack),
        "pool": (pool.index,) if pool else (),
    }
    first = lead if led else stack[0]
    assert first.mix and last.mix
    sizes = {
        "in_channels": first.mix.cin,
        "out_channels": last.mix.cout,
        "depth": len(stack),
        "kernel": max(lead.mix.kernel) if led and lead.mix else 3,
        "positions": k.positions(last),
    }
    return Match("mlpconv", parts, sizes, ((pool or last).index,))


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """A k×k in place of every 1×1; flatten + dense in place of the pooling after it."""
    lead = match.one("spatial")
    like = None if lead is None else k.units[lead]
    draft = Draft(k)
    for at in match.parts["mlp"]:
        unit = k.units[at]
        assert unit.mix
        kernel = like.mix.kernel if like and like.mix else 3
        draft.swap(unit, draft.conv(unit.links[0].value, unit, unit.mix.cout, kernel=kernel))
    yield Form("k×k in place of every 1×1", draft.patch())
    pool = match.one("pool")
    if pool is not None:
        yield unpooled(k, k.units[pool], k.units[match.parts["mlp"][-1]])


def unpooled(k: Skeleton, squeeze: Unit, at: Unit) -> Form:
    """Flatten and a dense layer (with bias) in place of a global pooling, same width."""
    draft = Draft(k)
    wide = draft.flatten(squeeze.links[0].value, squeeze, own(squeeze))
    out = k.graph.values[squeeze.value]
    width = out.size // max(1, out.shape[0])
    made = draft.dense(wide, squeeze, width, own(squeeze), like=at)
    made = draft.bias(made, squeeze, own(squeeze), like=at)
    draft.swap(squeeze, made)
    return Form("flatten + dense in place of global pooling", draft.patch())


MOTIF = Motif(
    "mlpconv",
    "mlpconv (Network in Network)",
    "two or more activated 1×1s in a row without a shortcut, after an activated k×k, which "
    "belongs to the block, or directly after a pool or an input",
    "Lin, Chen & Yan, Network In Network, ICLR 2014, arXiv:1312.4400",
    find,
    forms,
)
