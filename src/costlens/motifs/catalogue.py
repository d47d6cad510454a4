"""Every motif, in the order in which they are looked for: a later one sees the earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from costlens.motifs import (
    bottleneck,
    channel_attention,
    convnext,
    dense_block,
    fire,
    fpn,
    inception,
    inverted_residual,
    mlpconv,
    separable,
    shuffle,
    transformer,
)
from costlens.motifs.draft import NoFit
from costlens.motifs.match import Form, Found, Match, Motif
from costlens.motifs.skeleton import Skeleton

MOTIFS: tuple[Motif, ...] = (
    channel_attention.MOTIF,
    bottleneck.MOTIF,
    inverted_residual.MOTIF,
    inverted_residual.FUSED,
    convnext.MOTIF,
    fire.MOTIF,
    inception.MOTIF,
    dense_block.MOTIF,
    dense_block.TRANSITION,
    fpn.MOTIF,
    shuffle.MOTIF,
    transformer.ATTENTION,
    transformer.MLP,
    mlpconv.MOTIF,
    separable.MOTIF,
)
"""All block families."""

BY_ID: Mapping[str, Motif] = {motif.id: motif for motif in MOTIFS}


def search(k: Skeleton) -> Found:
    """All matches and near misses in a skeleton."""
    found = Found()
    for motif in MOTIFS:
        for each in list(motif.find(k, found)):
            found.add(each)
    return found


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """The plain forms of a match that can be had; one that fits no sizes is left out."""
    made = BY_ID[match.motif].forms(k, match)
    while True:
        try:
            yield next(made)
        except StopIteration:
            return
        except NoFit:
            return
