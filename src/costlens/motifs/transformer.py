"""Transformers: token-wise layers, which are 1×1s over the sequence (Vaswani et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.ir.edit import Patch
from costlens.motifs.draft import Draft, NoFit, kernel_name, own
from costlens.motifs.match import Form, Found, Match, Miss, Motif, is_pointwise, residual
from costlens.motifs.skeleton import Link, Skeleton, Unit

_TAPS = 3
_PASSED = frozenset("slice add multiply join concat other resize pool".split())


def find_mlp(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """1×1 that expands, activated or gated → 1×1 that contracts, an addition around both."""
    for contract in k.pointwise:
        if found.claimed(contract):
            continue
        inner = k.source(contract)
        gated = inner.kind == "multiply"
        expand = _gated(k, inner) if gated else (inner,)
        if not expand or not all(is_pointwise(unit) for unit in expand):
            continue
        if k.sole(inner) is not contract or found.claimed(expand[0]):
            continue
        if not gated and not contract.links[0].activated:
            continue
        made = _judged_mlp(k, contract, inner, expand)
        if made is not None:
            yield made


def _gated(k: Skeleton, product: Unit) -> tuple[Unit, ...]:
    """The 1×1s of a gated unit (GLU): both factors read one map, or are halves of one 1×1."""
    if len(product.links) != 2 or not any(link.activated for link in product.links):
        return ()
    units = [k.units[link.source] for link in product.links]
    halves = [k.source(unit) if unit.kind == "slice" else unit for unit in units]
    if halves[0] is halves[1]:
        return (halves[0],)
    if all(is_pointwise(unit) and k.sole(unit) is product for unit in halves):
        same = len({unit.links[0].source for unit in halves}) == 1
        return tuple(halves) if same else ()
    return ()


def _judged_mlp(
    k: Skeleton, contract: Unit, inner: Unit, expand: tuple[Unit, ...]
) -> Match | Miss | None:
    first = expand[0]
    assert first.mix and contract.mix
    width = contract.mix.cin
    start = first.links[0].source
    end = k.sole(contract)
    if residual(k, end, contract, start) != () or end is None:
        if contract.mix.cout != first.mix.cin:
            return None
        return Miss("transformer_mlp", contract.index, "no addition of its own input follows")
    if width < first.mix.cin:
        return Miss("transformer_mlp", contract.index, "its first 1×1 contracts: an adapter")
    halves = [i for link in inner.links for i in (link.source,) if k.units[i].kind == "slice"]
    parts = {
        "expand": tuple(unit.index for unit in expand),
        "gate": (*halves, inner.index) if inner.kind == "multiply" else (),
        "contract": (contract.index,),
        "add": (end.index,),
    }
    sizes = {
        "in_channels": first.mix.cin,
        "width": width,
        "out_channels": contract.mix.cout,
        "tokens": k.positions(contract),
    }
    return Match("transformer_mlp", parts, sizes, (end.index,))


def forms_mlp(k: Skeleton, match: Match) -> Iterator[Form]:
    """Convolutions over neighbouring tokens in place of each; one layer without the expansion."""
    points = [k.units[at] for part in ("expand", "contract") for at in match.parts[part]]
    yield _taps(k, points)
    draft = Draft(k)
    contract = points[-1]
    x = points[0].links[0].value
    draft.swap(contract, draft.conv(x, contract, match.sizes["out_channels"], kernel=1))
    yield Form("one 1×1, not expanded", draft.patch())


def _taps(k: Skeleton, points: list[Unit]) -> Form:
    draft = Draft(k)
    for unit in points:
        assert unit.mix
        draft.swap(unit, draft.conv(unit.links[0].value, unit, unit.mix.cout, kernel=_TAPS))
    name = kernel_name(k, points[0], _TAPS)
    return Form(f"{name}s", draft.patch(), "the plain form of every 1×1 in it")


def resize_mlp(k: Skeleton, match: Match, width: int) -> Patch:
    """The block with another inner width."""
    expand = [k.units[at] for at in match.parts["expand"]]
    if len(expand) != 1 or match.parts["gate"]:
        raise NoFit("its inner width is not one number")
    contract = k.units[match.parts["contract"][0]]
    (first,) = expand
    draft = Draft(k)
    x = draft.again(first.links[0].value, first, width, own(first))
    x = draft.keep(k.between(contract.links[0]), first.value, x, contract)
    draft.swap(contract, draft.again(x, contract, match.sizes["out_channels"]))
    return draft.patch()


def find_attention(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """The 1×1s that make the queries, keys and values of softmax(QKᵀ)V, and the one after it."""
    for context in k.by_kind.get("product", ()):
        if len(context.links) != 2:
            continue
        for weights, value in (context.links, context.links[::-1]):
            scores = _scores(k, weights)
            if scores is not None:
                yield _judged_attention(k, found, context, scores, value)
                break


def _scores(k: Skeleton, link: Link) -> Unit | None:
    """The product of queries and keys behind a softmax, masks and biases between them aside."""
    soft = False
    for _ in range(6):
        soft = soft or any(node.op == "softmax" for node in k.between(link))
        unit = k.units[link.source]
        if unit.kind == "product":
            return unit if soft else None
        if unit.kind not in ("add", "multiply", "join") or not unit.links:
            return None
        link = max(unit.links, key=lambda each: k.graph.values[each.value].size)
    return None


def _judged_attention(
    k: Skeleton, found: Found, context: Unit, scores: Unit, value: Link
) -> Match | Miss:
    reads = [*scores.links, value]
    made = [_projection(k, link) for link in reads]
    if not all(made):
        return Miss("attention_projection", context.index, "a query, key or value is no 1×1's")
    names = ("query", "key", "value")
    units = [unit for unit in made if unit]
    parts: dict[str, tuple[int, ...]] = {
        name: (unit.index,) for name, unit in zip(names, units, strict=True)
    }
    after = k.sole(context)
    out = after if is_pointwise(after) else None
    parts["output"] = (out.index,) if out else ()
    assert units[0].mix
    sizes = {
        "in_channels": units[0].mix.cin,
        "projections": len({unit.index for unit in units}) + bool(out),
        "tokens": k.positions(units[0]),
    }
    ends = tuple({unit.index: None for unit in (*units, *((out,) if out else ()))})
    return Match("attention_projection", parts, sizes, ends)


def _projection(k: Skeleton, link: Link, most: int = 24) -> Unit | None:
    """The first 1×1 behind an operand of attention, rotations, splits and repeats aside."""
    todo, seen = [link.source], set[int]()
    while todo and len(seen) < most:
        at = todo.pop(0)
        if at in seen:
            continue
        seen.add(at)
        unit = k.units[at]
        if unit.kind == "mix":
            return unit if is_pointwise(unit) else None
        if unit.kind not in _PASSED:
            continue
        todo += [each.source for each in unit.links]
    return None


def forms_attention(k: Skeleton, match: Match) -> Iterator[Form]:
    """Convolutions over neighbouring tokens in place of each projection."""
    yield _taps(k, [k.units[at] for at in match.units])


MLP = Motif(
    "transformer_mlp",
    "Token-wise MLP (transformer)",
    "a 1×1 that does not contract, activated or gated, a 1×1 back, and the addition of what the "
    "first one reads",
    "Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv:1706.03762",
    find_mlp,
    forms_mlp,
    resize_mlp,
)

ATTENTION = Motif(
    "attention_projection",
    "Attention projections",
    "the 1×1s that make query, key and value of softmax(QKᵀ)V, and the one on what comes out",
    "Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv:1706.03762",
    find_attention,
    forms_attention,
)
