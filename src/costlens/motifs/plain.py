"""The plain form of a 1×1 that belongs to no block."""

from __future__ import annotations

from costlens.ir.types import Shape
from costlens.motifs.draft import Draft, NoFit, kernel_name, strides_of
from costlens.motifs.match import Form, Found, Match
from costlens.motifs.roles import feeds_spatial, role_of
from costlens.motifs.skeleton import Skeleton, Unit


def plain(k: Skeleton, found: Found, unit: Unit) -> tuple[Match, Form]:
    """The units that change, as if they were a block, and the plain form of a 1×1 outside blocks.

    A reduction: its readers on the unreduced map. A head on a pooled map: a dense layer on the
    map before the pooling. Any other: a k×k of the same channels and stride. Raises NoFit, which
    says why, on other maps of one position and where no padding gives the same positions.
    """
    role, readers = role_of(k, found, unit).id, feeds_spatial(k, unit)
    if unit.point:
        squeeze = k.source(unit)
        if role != "classifier head" or squeeze.kind != "squeeze":
            raise NoFit("its map has one position")
        return _around(squeeze, unit), _unpooled(k, unit, squeeze)
    if readers and role == "dimension reduction":
        return _around(unit, *readers), _unreduced(k, unit, readers)
    return _around(unit), _widened(k, unit)


def _around(*units: Unit) -> Match:
    at = tuple(unit.index for unit in units)
    return Match("", {"units": at}, {}, at[1:] or at)


def _unreduced(k: Skeleton, unit: Unit, readers: tuple[Unit, ...]) -> Form:
    draft = Draft(k)
    for reader in readers:
        assert reader.mix
        x, strides = unit.links[0].value, strides_of(unit, reader)
        draft.swap(reader, draft.conv(x, reader, reader.mix.cout, reader, strides=strides))
    return Form("its readers on the unreduced map", draft.patch())


def _unpooled(k: Skeleton, unit: Unit, squeeze: Unit) -> Form:
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


def kernel_beside(k: Skeleton, unit: Unit) -> Shape | int:
    """The kernel of the convolution that it reads or that reads it; 3 where there is none."""
    beside = [k.units[link.source] for link in unit.links]
    beside += [k.units[i] for i, _ in k.uses[unit.index]]
    return next((other.mix.kernel for other in beside if other.mix and other.mix.spatial), 3)
