"""What each 1×1 does in its network, decided from what stands around it.

The first role whose rule holds is taken; the others say in a few words why they do not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from costlens.motifs.match import Found, all_activated, is_full
from costlens.motifs.skeleton import Skeleton, Unit

Rule = Callable[[Skeleton, Found, Unit], str]


@dataclass(frozen=True, slots=True)
class Role:
    """A role, what it is, and the rule that tells why a 1×1 does not have it ("" where it has)."""

    id: str
    says: str
    why_not: Rule


def role_of(k: Skeleton, found: Found, unit: Unit) -> Role:
    """The role of a 1×1."""
    return next(role for role in ROLES if not role.why_not(k, found, unit))


def rejected(k: Skeleton, found: Found, unit: Unit) -> tuple[tuple[str, str], ...]:
    """The roles that a 1×1 does not have, each with the reason; those after its own could hold."""
    reasons = ((role.id, role.why_not(k, found, unit)) for role in ROLES)
    return tuple((role, reason) for role, reason in reasons if reason)


def _part(found: Found, unit: Unit, parts: Mapping[str, str]) -> bool:
    """Whether a unit stands in one of these parts (motif → part names) of a block."""
    return any(
        unit.index in match.parts.get(part, ())
        for match in found.claims.get(unit.index, ())
        for part in parts.get(match.motif, "").split()
    )


def _member(parts: Mapping[str, str], otherwise: str) -> Rule:
    def why_not(k: Skeleton, found: Found, unit: Unit) -> str:
        return "" if _part(found, unit, parts) else otherwise

    return why_not


def _projection(k: Skeleton, found: Found, unit: Unit, most: int = 40) -> str:
    """On the way around a branch of contractions that ends in the same addition.

    The branch may take in something else too (a time embedding); a way that is resized goes
    down and up a network, and is no branch of a block.
    """
    end = k.sole(unit)
    if end is None or end.kind != "add":
        return "no addition alone reads it"
    start = k.source(unit)
    if start.kind == "pool" and k.sole(start) is unit:
        start = k.source(start)
    todo = [link.source for link in end.links if link.source != unit.index]
    seen, mixes = set[int](), 0
    while todo and len(seen) < most:
        at = todo.pop(0)
        other = k.units[at]
        if at == start.index or at in seen or other.kind == "resize":
            continue
        seen.add(at)
        mixes += other.mix is not None
        todo += [link.source for link in other.links if link.source >= start.index]
    reached = any(link.source == start.index for at in seen for link in k.units[at].links)
    if not reached or not mixes:
        return "no branch of contractions from what it reads ends in that addition"
    return ""


def _mlpconv(k: Skeleton, found: Found, unit: Unit) -> str:
    if not found.claimed(unit, "mlpconv"):
        return "it is not one of two or more stacked activated 1×1s"
    return "" if _depth(k, found, unit) else "its stack keeps one width: depth alone"


def _depth(k: Skeleton, found: Found, unit: Unit) -> str:
    assert unit.mix
    stack = next((m for m in found.claims.get(unit.index, ()) if m.motif == "mlpconv"), None)
    if stack is not None:
        units = [k.units[at] for part in ("spatial", "mlp") for at in stack.parts[part]]
        widths = {n for u in units if u.mix for n in (u.mix.cin, u.mix.cout)}
        return "" if len(widths) == 1 else "its stack changes the width"
    if found.claimed(unit):
        return "it is part of a block"
    if unit.mix.cin != unit.mix.cout:
        return "it changes the width"
    if k.source(unit).kind != "mix" or unit.point:
        return "it is not stacked on a convolution"
    return "" if all_activated(k, unit) else "no activation follows it"


def _head(k: Skeleton, found: Found, unit: Unit) -> str:
    """On the way out: what follows works on one position, or nothing does."""
    if found.claimed(unit):
        return "it is part of a block"
    if unit.point:
        return "" if _ends(k, unit) else "its result goes back into a map"
    if k.leads_on[unit.index]:
        return "contractions depend on it"
    assert unit.mix
    if unit.mix.cout == 1 and k.source(unit).kind == "concat":
        return "it fuses maps into one channel"
    uses = k.uses[unit.index]
    if any(k.units[i].kind in ("add", "multiply", "join", "product") for i, _ in uses):
        return "what it gives is merged with something else"
    pooled = any(k.units[i].kind == "squeeze" for i, _ in uses)
    bounded = any(
        node.op == "softmax" or node.attrs.get("fn") in ("sigmoid", "softmax")
        for _, link in uses
        for node in k.between(link)
    )
    scores = k.source(unit).kind != "input" and not any(link.activated for _, link in uses)
    if pooled or bounded or scores:
        return ""
    return "what it gives is neither pooled nor scores"


def _ends(k: Skeleton, unit: Unit, most: int = 200) -> bool:
    """Whether all that depends on a unit works on one position, up to the outputs."""
    todo, seen = [unit.index], {unit.index}
    while todo:
        for i, _ in k.uses[todo.pop()]:
            after = k.units[i]
            if len(seen) > most or not (after.point or after.kind == "output"):
                return False
            if i not in seen:
                seen.add(i)
                todo.append(i)
    return True


def _fusion(k: Skeleton, found: Found, unit: Unit) -> str:
    before = k.source(unit)
    if unit.point:
        return "its map has one position"
    if before.kind == "concat":
        return ""
    scales = [k.source(before, at).kind for at in range(len(before.links))]
    if before.kind == "add" and "resize" in scales:
        return ""
    return "what it reads is not concatenated or of several scales"


def _reduction(k: Skeleton, found: Found, unit: Unit) -> str:
    assert unit.mix
    most = unit.mix.cin + _part(found, unit, _REDUCES)
    return "" if unit.mix.cout < most else "it gives no fewer channels than it takes"


def _expansion(k: Skeleton, found: Found, unit: Unit) -> str:
    assert unit.mix
    return "" if unit.mix.cout > unit.mix.cin else "it gives no more channels than it takes"


def feeds_spatial(k: Skeleton, unit: Unit) -> tuple[Unit, ...]:
    """The k×ks that read a unit."""
    return tuple(k.units[i] for i, _ in k.uses[unit.index] if is_full(k.units[i]))


_REDUCES = {
    "bottleneck": "reduce",
    "fire": "squeeze",
    "inception": "reduce",
    "dense_bottleneck": "reduce",
}

ROLES: tuple[Role, ...] = (
    Role(
        "channel attention",
        "one of the two contractions on a squeezed map whose result gates the channels",
        _member({"channel_attention": "reduce excite"}, "no gate on a map is made from it"),
    ),
    Role(
        "attention projection",
        "makes queries, keys or values of softmax(QKᵀ)V, or reads what comes out",
        _member(
            {"attention_projection": "query key value output"}, "no attention stands around it"
        ),
    ),
    Role(
        "lateral",
        "brings a map of a backbone to the width of a pyramid",
        _member({"fpn": "lateral"}, "no pyramid stands around it"),
    ),
    Role(
        "projection shortcut",
        "fits the shortcut of a residual block in channels or stride",
        _projection,
    ),
    Role(
        "separable pointwise",
        "mixes the channels that a depthwise convolution has filtered one by one",
        _member(
            {"depthwise_separable": "pointwise", "grouped_pointwise": "last"},
            "no depthwise convolution alone stands before it",
        ),
    ),
    Role(
        "transition",
        "compresses a dense block before its pool",
        _member({"transition": "reduce"}, "it does not stand between a dense block and a pool"),
    ),
    Role(
        "mlpconv",
        "one of two or more activated 1×1s: a small perceptron that slides over the map",
        _mlpconv,
    ),
    Role(
        "depth",
        "keeps the width of the convolution that it is stacked on, and adds a non-linearity",
        _depth,
    ),
    Role(
        "token-wise MLP",
        "expands or contracts every token by itself, within a residual block",
        _member(
            {"transformer_mlp": "expand contract", "convnext": "expand contract"},
            "it is not one of an expansion and a contraction with an addition around them",
        ),
    ),
    Role(
        "bottleneck exit",
        "leaves the inner width of a residual block",
        _member(
            {
                "bottleneck": "expand",
                "inverted_residual": "project",
                "fused_inverted_residual": "project",
                "inception": "expand",
            },
            "it does not end a residual or inverted residual block",
        ),
    ),
    Role(
        "branch",
        "a branch of an Inception module that has no k×k behind it",
        _member({"inception": "branch"}, "it is no branch of an Inception module"),
    ),
    Role(
        "classifier head",
        "gives the scores of a map or of its positions, as the last contraction or on a pooled map",
        _head,
    ),
    Role(
        "feature fusion",
        "mixes maps that were concatenated or are of several scales",
        lambda k, found, unit: (
            "it is part of a block" if found.claimed(unit) else _fusion(k, found, unit)
        ),
    ),
    Role(
        "dimension reduction",
        "gives fewer channels than it takes (as many, where it enters a block), so that what reads "
        "them costs less",
        _reduction,
    ),
    Role("expansion", "gives more channels than it takes", _expansion),
    Role(
        "channel mixing",
        "gives as many channels as it takes, with nothing around it that says more",
        lambda k, found, unit: "",
    ),
)
"""All roles, in the order in which they are tried."""
