"""Which values share a buffer, and which buffers are activations."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.ir.graph import Graph
from costlens.ir.ops import OPS


def roots(graph: Graph) -> Mapping[str, str]:
    """Value id → the value whose buffer it lives in.

    A view lives in its operand's buffer, an epilogue in the one that it takes over; everything
    else in its own. Weights and constants are their own roots.
    """
    root: dict[str, str] = {value: value for value in graph.values}
    epilogues = graph.epilogues
    for node in graph.nodes:
        if OPS[node.op].storage == "view":
            root[node.outputs[0]] = root[node.operands[0]]
        elif node.name in epilogues:
            root[node.outputs[0]] = root[epilogues[node.name]]
    return root
