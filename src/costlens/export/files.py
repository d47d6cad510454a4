"""A networkx graph as the text of a file: GraphML, GEXF, DOT, Mermaid, node-link JSON."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import networkx as nx

from costlens.errors import InputError
from costlens.export.dot import dot
from costlens.export.mermaid import mermaid
from costlens.units import printable


def graphml(net: nx.MultiDiGraph[str]) -> str:
    """GraphML 1.0, which yEd and Gephi open; counts beyond 32 bits are declared ``long``."""
    file = io.BytesIO()
    nx.write_graphml_xml(_for_xml(net), file, infer_numeric_types=False)
    return file.getvalue().decode()


def gexf(net: nx.MultiDiGraph[str]) -> str:
    """GEXF 1.2, without the date and the version that networkx writes."""
    text = "\n".join(nx.generate_gexf(_for_xml(net)))
    text = re.sub(r' lastmodifieddate="[^"]*"', "", text)
    return re.sub(r"<creator>NetworkX [^<]*<", "<creator>costlens<", text, count=1) + "\n"


def node_link(net: nx.MultiDiGraph[str]) -> str:
    """networkx's node-link JSON; ``networkx.node_link_graph(data, edges="edges")`` reads it."""
    return json.dumps(nx.node_link_data(net, edges="edges"), indent=1, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Callable[[nx.MultiDiGraph[str]], str]] = {
    ".graphml": graphml,
    ".gexf": gexf,
    ".dot": dot,
    ".mmd": mermaid,
    ".json": node_link,
}
"""Suffix → writer."""


def writer(suffix: str) -> Callable[[nx.MultiDiGraph[str]], str]:
    """The writer for a file suffix; raises InputError for an unknown one."""
    if suffix not in FORMATS:
        formats = ", ".join(FORMATS)
        what = f"{suffix} is not a graph format" if suffix else "the file has no suffix"
        raise InputError("-o", what, f"Formats: {formats}.")
    return FORMATS[suffix]


def _for_xml(net: nx.MultiDiGraph[str]) -> nx.MultiDiGraph[str]:
    """A copy whose texts hold only characters that XML 1.0 can carry; ids stay distinct."""

    def clean(value: Any) -> Any:
        return printable(value) if isinstance(value, str) else value

    made: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=clean(net.graph.get("name", "")))
    ids: dict[str, str] = {}
    for node, attributes in net.nodes(data=True):
        ids[node] = clean(node)
        while ids[node] in made:  # a name that spells out what another one holds
            ids[node] += "'"
        made.add_node(ids[node], **{key: clean(v) for key, v in attributes.items()})
    for start, end, attributes in net.edges(data=True):
        made.add_edge(ids[start], ids[end], **{key: clean(v) for key, v in attributes.items()})
    return made
