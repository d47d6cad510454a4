"""Squeeze-and-excitation: a gate per channel that looks at all channels (Hu et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.ir.edit import Patch
from costlens.motifs.draft import Draft, NoFit, own
from costlens.motifs.match import Form, Found, Match, Miss, Motif, is_pointwise
from costlens.motifs.skeleton import Link, Skeleton, Unit

_GATES = frozenset("sigmoid hard_sigmoid relu6 clip tanh hard_tanh".split())
_WRITTEN, _RECIPROCAL = {"exp", "divide"}, {"exp", "reciprocal"}  # 1 / (1 + exp(-x))


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """squeeze → 1×1 → 1×1 → gate, multiplied onto what was squeezed."""
    for unit in k.by_kind.get("multiply", ()):
        if len(unit.links) != 2:
            continue
        for main, gate in (unit.links, unit.links[::-1]):
            made = _gate(k, unit, main, gate)
            if made is not None:
                yield made
                break


def _gate(k: Skeleton, unit: Unit, main: Link, gate: Link) -> Match | Miss | None:
    last = k.units[gate.source]
    ends: tuple[Unit, ...] = (last,)
    if last.kind == "add":  # one path over an average and one over a maximum, as in CBAM
        ends = tuple(k.units[link.source] for link in last.links)
    paths = [_path(k, end) for end in ends]
    if any(not path or path[0].links[0].source != main.source for path in paths):
        return None
    lengths = {len(path) for path in paths}
    if lengths != {3}:
        count = sorted(lengths)[0] - 1
        return Miss("channel_attention", unit.index, f"{count} contractions after the squeeze")
    nodes = [*k.between(gate), *(n for link in last.links for n in k.between(link))]
    functions = {n.attrs.get("fn") for n in nodes}
    if functions.isdisjoint(_GATES) and not (functions >= _WRITTEN or functions >= _RECIPROCAL):
        return Miss("channel_attention", unit.index, "no sigmoid-like gate before the product")
    reduce, excite = paths[0][1:]
    assert reduce.mix and excite.mix
    parts = {
        "squeeze": tuple(path[0].index for path in paths),
        "reduce": tuple(path[1].index for path in paths),
        "excite": tuple(path[2].index for path in paths),
        "scale": (*((last.index,) if last.kind == "add" else ()), unit.index),
    }
    sizes = {"channels": excite.mix.cout, "width": reduce.mix.cout}
    return Match("channel_attention", parts, sizes, (unit.index,))


def _path(k: Skeleton, end: Unit) -> list[Unit]:
    """From a squeeze by contractions on one position to ``end``; empty where none is squeezed."""
    path = [end]
    while path[0].kind == "mix" and path[0].point and len(path) < 5:
        path.insert(0, k.source(path[0]))
    if path[0].kind != "squeeze" or not all(is_pointwise(unit) for unit in path[1:]):
        return []
    return path


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """The map as it was before the gate."""
    unit = k.units[match.ends[0]]
    inside = {index for part in ("excite", "scale") for index in match.parts[part]}
    main = next(link for link in unit.links if link.source not in inside)
    draft = Draft(k)
    draft.replace(unit.value, main.value)
    yield Form("no gate", draft.patch(), "what the gate costs: a gate saves nothing")


def resize(k: Skeleton, match: Match, width: int) -> Patch:
    """The gate with another inner width."""
    if len(match.parts["reduce"]) != 1:
        raise NoFit("it squeezes twice")
    reduce, excite = (k.units[match.parts[part][0]] for part in ("reduce", "excite"))
    draft = Draft(k)
    x = draft.again(reduce.links[0].value, reduce, width, own(reduce))
    x = draft.keep(k.between(excite.links[0]), reduce.value, x, excite)
    draft.swap(excite, draft.again(x, excite, match.sizes["channels"]))
    return draft.patch()


MOTIF = Motif(
    "channel_attention",
    "Channel attention (squeeze-and-excitation)",
    "global pooling, two 1×1s on the 1×1 map, a sigmoid-like gate, multiplied onto what was pooled",
    "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, arXiv:1709.01507",
    find,
    forms,
    resize,
)
