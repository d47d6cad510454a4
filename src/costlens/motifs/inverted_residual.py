"""Inverted residuals: wide inside, narrow outside, the projection linear (Sandler et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from costlens.ir.edit import Patch
from costlens.motifs.draft import Draft, NoFit, own, strides_of
from costlens.motifs.match import (
    Form,
    Found,
    Match,
    Miss,
    Motif,
    all_activated,
    following,
    is_depthwise,
    is_full,
    is_pointwise,
    residual,
)
from costlens.motifs.skeleton import Skeleton, Unit


class _Candidate(NamedTuple):
    """A block, and whether it is one by itself: else only where such a block reads it."""

    match: Match
    sure: bool


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """[1×1 →] activated depthwise → [gate →] linear 1×1."""
    judged = [each for spatial in k.mixes if is_depthwise(spatial) for each in _judged(k, spatial)]
    return _accepted(k, judged, set())


def _judged(k: Skeleton, spatial: Unit) -> Iterator[_Candidate | Miss]:
    project, activated, gate, _ = following(k, spatial)
    if project is None or not is_pointwise(project):
        return
    assert project.mix and spatial.mix
    if project.mix.groups > 1:
        return
    expand = _expansion(k, spatial)
    start = (expand or spatial).links[0].source
    end, _, _, last = following(k, project)
    path = residual(k, end, last, start)
    why = ""
    if not activated:
        why = "nothing bends what the depthwise convolution gives"
    elif path is None and all_activated(k, project):
        why = "its last 1×1 is activated: a depthwise separable convolution"
    elif expand is not None and expand.mix and expand.mix.cout < expand.mix.cin:
        why = "its first 1×1 reduces"
    if why:
        yield Miss("inverted_residual", project.index, why)
    else:
        match = _match(k, expand, spatial, project, gate, path, end)
        yield _Candidate(match, sure=path is not None or expand is not None)


def _expansion(k: Skeleton, spatial: Unit) -> Unit | None:
    """The activated 1×1 before a depthwise convolution, which nothing else reads; that of a
    separable convolution is none."""
    before = k.source(spatial)
    own_ = is_pointwise(before) and k.sole(before) is spatial and spatial.links[0].activated
    return before if own_ and not is_depthwise(k.source(before)) else None


def _accepted(
    k: Skeleton, judged: Sequence[_Candidate | Miss], firsts: set[int]
) -> Iterator[Match | Miss]:
    """Blocks that are sure, and those that such a block reads (``firsts``: where these start)."""
    made: list[Match | Miss] = []
    for each in reversed(judged):
        if isinstance(each, Miss):
            made.append(each)
            continue
        match, project = each.match, each.match.parts["project"][0]
        if each.sure or any(i in firsts for i, _ in k.uses[project]):
            firsts.add(_first(match))
            made.append(match)
        else:
            why = "it has neither a shortcut nor another such block after it"
            made.append(Miss(match.motif, project, why))
    return reversed(made)


def _first(match: Match) -> int:
    return (match.parts["expand"] or match.parts["spatial"])[0]


def _match(
    k: Skeleton,
    expand: Unit | None,
    spatial: Unit,
    project: Unit,
    gate: tuple[int, ...],
    path: tuple[int, ...] | None,
    end: Unit | None,
) -> Match:
    assert spatial.mix and project.mix
    fused = not is_depthwise(spatial)
    first = expand or spatial
    assert first.mix
    added = end if path is not None else None
    parts = {
        "expand": (expand.index,) if expand else (),
        "spatial": (spatial.index,),
        "gate": gate,
        "project": (project.index,),
        "shortcut": path or (),
        "add": (added.index,) if added else (),
    }
    sizes = {
        "in_channels": first.mix.cin,
        "width": spatial.mix.cout,
        "out_channels": project.mix.cout,
        "kernel": max(spatial.mix.kernel),
        "stride": first.mix.stride * spatial.mix.stride * project.mix.stride,
        "positions": k.positions(project),
    }
    motif = "fused_inverted_residual" if fused else "inverted_residual"
    return Match(motif, parts, sizes, ((added or project).index,))


def find_fused(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """Activated k×k that expands → [gate →] linear 1×1 that contracts."""
    judged: list[_Candidate | Miss] = []
    for spatial in k.mixes:
        if not is_full(spatial) or not spatial.mix or spatial.mix.cout <= spatial.mix.cin:
            continue
        project, activated, gate, _ = following(k, spatial)
        if project is None or not is_pointwise(project) or not activated:
            continue
        assert project.mix
        if project.mix.groups > 1 or project.mix.cout >= project.mix.cin:
            continue
        end, _, _, last = following(k, project)
        path = residual(k, end, last, spatial.links[0].source)
        if path is None and all_activated(k, project):
            why = "its 1×1 is activated"
            judged.append(Miss("fused_inverted_residual", project.index, why))
        else:
            match = _match(k, None, spatial, project, gate, path, end)
            judged.append(_Candidate(match, sure=path is not None))
    firsts = {_first(match) for match in found.matches.get("inverted_residual", ())}
    return _accepted(k, judged, firsts)


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """The depthwise convolution as a plain one; fused with the expansion; one k×k outside."""
    spatial, project = (k.units[match.parts[part][0]] for part in ("spatial", "project"))
    at = match.one("expand")
    expand = None if at is None else k.units[at]
    first = expand or spatial
    chain = (expand, spatial) if expand else (spatial,)
    width = match.sizes["width"]
    draft = Draft(k)
    draft.swap(spatial, draft.conv(spatial.links[0].value, spatial, width, spatial))
    yield Form("k×k at the expanded width", draft.patch())
    if expand:
        draft = Draft(k)
        x, strides = first.links[0].value, strides_of(*chain)
        draft.swap(spatial, draft.conv(x, spatial, width, spatial, strides=strides))
        yield Form("fused", draft.patch(), "expansion and depthwise convolution as one k×k")
    draft = Draft(k)
    out = match.sizes["out_channels"]
    x = first.links[0].value
    draft.swap(project, draft.conv(x, project, out, spatial, strides=strides_of(*chain, project)))
    yield Form("one k×k, not expanded", draft.patch())


def forms_fused(k: Skeleton, match: Match) -> Iterator[Form]:
    """A k×k in place of the projection; one k×k outside; the depthwise form."""
    spatial, project = (k.units[match.parts[part][0]] for part in ("spatial", "project"))
    out, width = match.sizes["out_channels"], match.sizes["width"]
    draft = Draft(k)
    draft.swap(project, draft.conv(project.links[0].value, project, out, spatial))
    yield Form("k×k projection", draft.patch())
    draft = Draft(k)
    x = spatial.links[0].value
    draft.swap(project, draft.conv(x, project, out, spatial, strides=strides_of(spatial, project)))
    yield Form("one k×k, not expanded", draft.patch())
    draft = Draft(k)
    inner = draft.conv(x, spatial, width, kernel=1, strides=(), on=x, layer=own(spatial))
    link = k.uses[spatial.index][0][1]
    inner = draft.keep(k.between(link), spatial.value, inner, spatial)
    draft.swap(spatial, draft.conv(inner, spatial, width, spatial, groups=width))
    yield Form("unfused", draft.patch(), "a 1×1 expansion and a depthwise k×k")


def resize(k: Skeleton, match: Match, width: int) -> Patch:
    """The block at another expanded width; a gate keeps its own inner width."""
    spatial, project = (k.units[match.parts[part][0]] for part in ("spatial", "project"))
    at = match.one("expand")
    if at is None or match.parts["gate"]:
        raise NoFit("its inner width is not one number")
    expand = k.units[at]
    draft = Draft(k)
    x = draft.again(expand.links[0].value, expand, width, own(expand))
    x = draft.keep(k.between(spatial.links[0]), expand.value, x, spatial)
    x = draft.again(x, spatial, width, own(spatial), width)
    x = draft.keep(k.between(project.links[0]), spatial.value, x, project)
    draft.swap(project, draft.again(x, project, match.sizes["out_channels"]))
    return draft.patch()


MOTIF = Motif(
    "inverted_residual",
    "Inverted residual (MBConv)",
    "a linear 1×1 projection after an activated depthwise k×k, behind an activated 1×1 that "
    "expands (none at expansion 1, where a shortcut or another such block has to follow); a gate "
    "and a shortcut where there are some",
    "Sandler et al., MobileNetV2, CVPR 2018, arXiv:1801.04381",
    find,
    forms,
    resize,
)

FUSED = Motif(
    "fused_inverted_residual",
    "Fused inverted residual (Fused-MBConv)",
    "a linear 1×1 that contracts after an activated k×k that expands, with a shortcut, or before "
    "another such block",
    "Tan & Le, EfficientNetV2, ICML 2021, arXiv:2104.00298",
    find_fused,
    forms_fused,
)
