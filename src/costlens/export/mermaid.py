"""Mermaid flowcharts, which GitHub draws inside Markdown."""

from __future__ import annotations

import re

import networkx as nx

from costlens.units import count, printable


def mermaid(net: nx.MultiDiGraph[str]) -> str:
    """A top-down flowchart; nodes are numbered, so that any name may be a label."""
    number = {node: f"n{i}" for i, node in enumerate(net.nodes)}
    lines = ["flowchart TD"]
    for node, data in net.nodes(data=True):
        label = f"{escaped(str(data['label']))}<br/>{data['output_shape']}"
        if data["macs"]:
            label += f"<br/>{count(data['macs'])} MACs"
        kind = ":::block" if "motif" in data else ""
        lines.append(f'  {number[node]}["{label}"]{kind}')
    lines += [f"  {number[start]} --> {number[end]}" for start, end in net.edges()]
    if any("motif" in data for _, data in net.nodes(data=True)):
        lines.append("  classDef block fill:#dbeafe,stroke:#2563eb,color:#111")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text for a quoted Mermaid label: Mermaid's, HTML's and Markdown's characters as entities.

    A backslash is followed by an empty space, or Mermaid would read ``\\n`` as a new line.

    >>> escaped('say "hi"|<b>'), escaped('conv2d_1 (Conv2D)'), escaped('a\\n')
    ('say #34;hi#34;#124;#60;b#62;', 'conv2d_1 (Conv2D)', 'a#92;#8203;n')
    """
    text = _MERMAID.sub(lambda found: f"#{ord(found[0])};", printable(text))
    return text.replace("#92;", "#92;#8203;")


# Markdown's part: an underscore that is not within a word, and what starts a list
_MERMAID = re.compile(
    r"[\"#<>&;`\\|*~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[-+](?= )|(?<=^\d)[.)](?= )"
)
