"""Graphviz DOT: boxes filled by their share of the MACs."""

from __future__ import annotations

import networkx as nx

from costlens.units import count, printable, share


def dot(net: nx.MultiDiGraph[str]) -> str:
    """A digraph for ``dot -Tsvg``; ids and labels are quoted strings."""
    lines = [
        f"digraph {_quote(str(net.graph.get('name', '')))} {{",
        "  rankdir=TB;",
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];',
    ]
    for node, data in net.nodes(data=True):
        lines.append(f"  {_quote(node)} [{_attributes(data)}];")
    for start, end, data in net.edges(data=True):
        label = _quote(str(data["shape"]))
        lines.append(f"  {_quote(start)} -> {_quote(end)} [label={label}, bytes={data['bytes']}];")
    return "\n".join([*lines, "}"]) + "\n"


def _attributes(data: dict[str, object]) -> str:
    macs, part = data["macs"], data["share_macs"]
    assert isinstance(macs, int) and isinstance(part, float)
    figures = f"{count(macs)} MAC{'' if macs == 1 else 's'}, {share(part)}" if macs else ""
    label = "\n".join(filter(None, (str(data["label"]), str(data["output_shape"]), figures)))
    # hue of amber; saturation grows with the share of the MACs
    fill = f"0.10 {min(1.0, part * 4):.3f} 1.0"
    numbers = ", ".join(f"{key}={value}" for key, value in data.items() if type(value) is int)
    return f'label={_quote(label)}, fillcolor="{fill}", {numbers}'


def _quote(text: str) -> str:
    r"""A DOT string: quotes and backslashes escaped, line breaks as ``\n``."""
    lines = [printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n")]
    return '"' + "\\n".join(lines) + '"'
