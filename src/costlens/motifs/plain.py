"""The plain form of a 1×1 that belongs to no block."""

from __future__ import annotations

from costlens.motifs.draft import Draft, kernel_name
from costlens.motifs.match import Form, Found, Match
from costlens.motifs.roles import feeds_spatial, role_of
from costlens.motifs.skeleton import Skeleton, Unit


def plain(k: Skeleton, found: Found, unit: Unit) -> tuple[Match, Form] | None:
    """The units that change, as if they were a block, and the plain form of a 1×1 outside blocks.

    A reduction: its readers on the unreduced map. A head on a pooled map: a dense layer on the
    map before the pooling. Any other: a k×k of the same channels and stride. None on other maps
    of one position, where there are no neighbours to look at.
    """
    role, readers = role_of(k, found, unit).id, feeds_spatial(k, unit)
    try:
        if unit.point and role == "classifier head":
            squeeze = k.source(unit)
            return _around(squeeze, unit), _unpooled(k, unit, squeeze)
        if unit.point:
            return None
        if readers and role == "dimension reduction":
            return _around(unit, *readers), _unreduced(k, unit, readers)
        return _around(unit), _widened(k, unit)
    except ValueError:
        return None


def _around(*units: Unit) -> Match:
    at = tuple(unit.index for unit in units)
    return Match("", {"units": at}, {}, at[1:] or at)


def _unreduced(k: Skeleton, unit: Unit, readers: tuple[Unit, ...]) -> Form:
    draft = Draft(k)
    for reader in readers:
        assert reader.mix
        draft.swap(reader, draft.conv(unit.links[0].value, reader, reader.mix.cout, reader))
    return Form("its readers on the unreduced map", draft.patch())


def _unpooled(k: Skeleton, unit: Unit, squeeze: Unit) -> Form:
    if squeeze.kind != "squeeze":
        raise ValueError("its map has one position")
    assert unit.mix
    draft = Draft(k)
    wide = draft.flatten(squeeze.links[0].value, unit)
    draft.swap(unit, draft.dense(wide, unit, unit.mix.cout, "", like=unit))
    return Form("flatten + dense on the map before the pooling", draft.patch())


def _widened(k: Skeleton, unit: Unit) -> Form:
    assert unit.mix
    taps = kernel_beside(k, unit)
    draft = Draft(k)
    draft.swap(unit, draft.conv(unit.links[0].value, unit, unit.mix.cout, kernel=taps))
    return Form(f"{kernel_name(k, unit, taps)} of the same channels", draft.patch())


def kernel_beside(k: Skeleton, unit: Unit) -> int:
    """The kernel of the convolution that it reads or that reads it; 3 where there is none."""
    beside = [k.units[link.source] for link in unit.links]
    beside += [k.units[i] for i, _ in k.uses[unit.index]]
    return next((max(u.mix.kernel) for u in beside if u.mix and u.mix.spatial), 3)
