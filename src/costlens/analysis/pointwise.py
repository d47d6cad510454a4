"""Every 1×1 of a model: its role, what it costs, its share, and its plain form outside blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costlens.analysis.blocks import Baseline, Block, Part
from costlens.analysis.totals import Totals
from costlens.analysis.tree import share
from costlens.cost.cost import Cost
from costlens.ir.edit import subgraph
from costlens.ir.graph import Node
from costlens.motifs.draft import NoFit
from costlens.motifs.match import Found, region
from costlens.motifs.plain import plain as plain_form
from costlens.motifs.roles import ROLES, rejected, role_of
from costlens.motifs.skeleton import Skeleton, Unit


@dataclass(frozen=True, slots=True)
class Pointwise:
    """One call of a 1×1. ``node`` names its op call, since a layer may have several (attention);
    ``positions`` are those of its output, the batch included; ``weights`` the scalars of its
    kernel, and ``params`` with its bias (0 both on later calls of a layer).

    ``block`` is the path of the block that it belongs to; ``rejected`` says for each role that it
    does not have why not. Outside blocks ``baseline`` is its plain form, or ``no_baseline`` says
    why there is none.
    """

    path: str
    call: int
    node: str
    role: str
    in_channels: int
    out_channels: int
    positions: int
    stride: int
    groups: int
    macs: int
    weights: int
    params: int
    activation_bytes: int
    share_macs: float
    block: str | None
    rejected: tuple[tuple[str, str], ...]
    baseline: Baseline | None
    no_baseline: str


def pointwise(
    k: Skeleton, found: Found, costs: Sequence[Cost], blocks: Sequence[Block]
) -> tuple[Pointwise, ...]:
    """All 1×1s in execution order. A dense layer on a pooled vector is one where it gates a map or
    leads to scores, and not in the middle of a network of such layers."""
    cost_of = {node.name: cost for node, cost in zip(k.graph.nodes, costs, strict=True)}
    total = sum(cost.macs for cost in costs)
    home: dict[int, str] = {}
    for block in blocks:
        for at in block.match.units:
            home.setdefault(at, block.path)
    seen: set[str] = set()
    listed = [unit for unit in k.pointwise if not _vector(k, unit) or _ends(k, found, unit)]
    return tuple(
        _one(k, found, unit, cost_of[unit.node.name], total, home, seen) for unit in listed
    )


def _vector(k: Skeleton, unit: Unit) -> bool:
    """Whether a 1×1 reads a vector, the positions of its map pooled away."""
    value = unit.links[0].value
    return k.graph.values[value].rank == 1 + len(k.axes[value])


def _ends(k: Skeleton, found: Found, unit: Unit) -> bool:
    return role_of(k, found, unit).id in ("channel attention", "classifier head")


def _one(
    k: Skeleton,
    found: Found,
    unit: Unit,
    cost: Cost,
    total: int,
    home: dict[int, str],
    seen: set[str],
) -> Pointwise:
    mix, node = unit.mix, unit.node
    assert mix is not None
    kernel, bias = weights_of(k, node)
    plain, why = (None, "") if unit.index in home else _plain(k, found, unit)
    new = [sum(k.graph.weights[v].params for v in ids if v not in seen) for ids in (kernel, bias)]
    seen.update(kernel, bias)
    return Pointwise(
        path=node.origin.layer,
        call=node.origin.call,
        node=node.name,
        role=role_of(k, found, unit).id,
        in_channels=mix.cin,
        out_channels=mix.cout,
        positions=k.positions(unit),
        stride=mix.stride,
        groups=mix.groups,
        macs=cost.macs,
        weights=new[0],
        params=sum(new),
        activation_bytes=k.graph.values[unit.value].nbytes * node.repeat,
        share_macs=share(cost.macs, total),
        block=home.get(unit.index),
        rejected=rejected(k, found, unit),
        baseline=plain,
        no_baseline=why,
    )


def weights_of(k: Skeleton, node: Node) -> tuple[list[str], list[str]]:
    """The weights that make a contraction's kernel, and its layer's bias after it."""
    kernel = _roots(k, [v for v in node.operands if v in k.side])
    value, bias = node.outputs[0], list[str]()
    while len(users := k.graph.users.get(value, ())) == 1:
        (user,) = users
        own = user.origin == node.origin
        if own and user.op == "binary" and user.attrs["fn"] == "add":
            bias = _roots(k, [v for v in user.operands if v in k.side])
        elif own and user.op in ("reshape", "cast"):
            value = user.outputs[0]
            continue
        break
    return kernel, bias


def _roots(k: Skeleton, values: Sequence[str]) -> list[str]:
    """The weights that values are made of."""
    found, todo = dict[str, None](), list(values)
    while todo:
        value = todo.pop()
        if value in k.graph.weights:
            found[value] = None
        elif (made := k.graph.producer.get(value)) is not None:
            todo += made.operands
    return list(found)


def _plain(k: Skeleton, found: Found, unit: Unit) -> tuple[Baseline | None, str]:
    try:
        around, form = plain_form(k, found, unit)
    except NoFit as why:
        return None, str(why)
    part = Part(subgraph(k.graph, region(k, around)))
    return Baseline(form.name, part, form.note, form.patch), ""


@dataclass(frozen=True, slots=True)
class Share:
    """The 1×1s of one role together, and what part of the model they are."""

    role: str
    calls: int
    macs: int
    params: int
    weights: int
    activation_bytes: int
    share_macs: float
    share_params: float
    share_activations: float


def shares(found: Sequence[Pointwise], totals: Totals) -> tuple[Share, ...]:
    """By role, the most MACs first, and all together as the last."""
    made = [
        _share(role.id, [each for each in found if each.role == role.id], totals) for role in ROLES
    ]
    kept = sorted((each for each in made if each.calls), key=lambda each: -each.macs)
    return (*kept, _share("all 1×1s", found, totals))


def _share(role: str, found: Sequence[Pointwise], totals: Totals) -> Share:
    macs, params = sum(p.macs for p in found), sum(p.params for p in found)
    activations = sum(p.activation_bytes for p in found)
    return Share(
        role,
        len(found),
        macs,
        params,
        sum(p.weights for p in found),
        activations,
        share(macs, totals.macs),
        share(params, totals.params),
        share(activations, totals.activation_bytes),
    )
