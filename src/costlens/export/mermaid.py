"""Mermaid flowcharts, which GitHub draws inside Markdown."""

from __future__ import annotations

import networkx as nx

from costlens.units import count
from costlens.units import mermaid as escaped


def mermaid(net: nx.MultiDiGraph[str]) -> str:
    """A top-down flowchart; nodes are numbered, so that any name may be a label."""
    number = {node: f"n{i}" for i, node in enumerate(net.nodes)}
    lines = ["flowchart TD"]
    for node, data in net.nodes(data=True):
        label = f"{escaped(str(data['label']))}<br/>{data['output_shape']}"
        if data["macs"]:
            label += f"<br/>{count(data['macs'])} MACs"
        lines.append(f'  {number[node]}["{label}"]')
    lines += [f"  {number[start]} --> {number[end]}" for start, end in net.edges()]
    return "\n".join(lines) + "\n"
