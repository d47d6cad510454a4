"""Graph files: read back by networkx and by parsers, typed, deterministic, any name whole."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from xml.etree import ElementTree

import networkx as nx
import pytest

import costlens
from costlens.errors import InputError
from costlens.export.files import FORMATS, writer
from costlens.export.mermaid import escaped
from costlens.study import Study
from costlens.units import printable
from tests.analysis.sketch import Sketch, dense
from tests.motifs.styles import STYLES
from tests.oracles.traced import build_abstractly
from tests.report.names import NAMES, awkward

Net = nx.MultiDiGraph
COUNTS = ("macs", "macs_valid", "flops", "bytes_moved", "params")


def huge() -> Study:
    """Counts beyond 32 bits, a shared layer, two tensors between the same two layers."""
    s = Sketch("huge")
    x = s.input((100_000, 2000))
    y = dense(s, x, 4000, "stage/fc")
    z = s.op("unary", (y,), "act", call=1, fn="relu")
    w = s.op("unary", (z,), "act", call=2, fn="relu")
    types = (s.values[w],) * 2
    pair = s.op("opaque", (w,), "pair", fn="sort", types=types)
    return s.study(s.op("binary", (pair, pair.replace(".0", ".1")), "sum", fn="add"))


def from_graphml(text: str) -> Net[str]:
    read: Net[str] = nx.read_graphml(io.BytesIO(text.encode()), force_multigraph=True)
    return read


def from_gexf(text: str) -> Net[str]:
    read: Net[str] = nx.read_gexf(io.BytesIO(text.encode()))
    return read


def from_json(text: str) -> Net[str]:
    read: Net[str] = nx.node_link_graph(json.loads(text), edges="edges")
    return read


READERS: dict[str, Callable[[str], Net[str]]] = {
    ".graphml": from_graphml,
    ".gexf": from_gexf,
    ".json": from_json,
}


@pytest.mark.parametrize("level", ["op", "layer"])
@pytest.mark.parametrize("suffix", READERS)
def test_networkx_reads_back_nodes_edges_and_integers(suffix: str, level: str) -> None:
    net = huge().to_networkx(level)
    read = READERS[suffix](writer(suffix)(net))
    assert list(read.nodes) == list(net.nodes)
    assert sorted(read.edges()) == sorted(net.edges())
    for node, data in net.nodes(data=True):
        for key, value in data.items():
            assert read.nodes[node][key] == value
            assert type(read.nodes[node][key]) is type(value)
    bytes_ = sorted(data["bytes"] for *_, data in read.edges(data=True))
    assert bytes_ == sorted(data["bytes"] for *_, data in net.edges(data=True))
    assert max(data["macs"] for _, data in read.nodes(data=True)) == 8 * 10**11


def test_attributes_add_up_to_the_totals() -> None:
    study = huge()
    for level in ("op", "layer"):
        net = study.to_networkx(level)
        for key in COUNTS:
            assert sum(data[key] for _, data in net.nodes(data=True)) == getattr(study.totals, key)


def test_calls_of_a_shared_layer_are_nodes_of_their_own() -> None:
    net = huge().to_networkx("layer")
    assert list(net.nodes) == ["image", "stage/fc", "act", "act#2", "pair", "sum"]
    assert net.number_of_edges("pair", "sum") == 2
    assert net.nodes["stage/fc"]["scope"] == "stage"


@pytest.mark.parametrize("level", ["op", "layer"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_two_runs_write_the_same_bytes(suffix: str, level: str) -> None:
    first, second = (writer(suffix)(awkward().to_networkx(level)) for _ in range(2))
    assert first == second
    assert first.endswith("\n")
    assert "lastmodified" not in first
    assert nx.__version__ not in first


@pytest.mark.parametrize("suffix", [".graphml", ".gexf"])
def test_xml_holds_every_name(suffix: str) -> None:
    study = awkward()
    text = writer(suffix)(study.to_networkx("layer"))
    ElementTree.fromstring(text)
    read = READERS[suffix](text)
    assert len(read) == len(study.layers)
    layers = {data["layer"] for _, data in read.nodes(data=True)}
    assert layers == {printable(row.path) for row in study.layers}


def test_names_that_escape_to_the_same_text_stay_two_nodes() -> None:
    s = Sketch()
    x = dense(s, dense(s, s.input((1, 2)), 2, "a\nb"), 2, "a\\nb")
    net = s.study(x).to_networkx("layer")
    for suffix in (".graphml", ".gexf"):
        read = READERS[suffix](writer(suffix)(net))
        assert (len(read), read.number_of_edges()) == (3, 2)


def test_node_link_json_holds_the_very_names() -> None:
    study = awkward()
    read = from_json(writer(".json")(study.to_networkx("layer")))
    assert list(read.nodes) == [row.path for row in study.layers]
    assert read.graph["name"] == study.graph.name


def dot_strings(line: str) -> list[str]:
    """The quoted strings of a DOT line, unquoted."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    return [re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), text) for text in found]


def test_dot_quotes_every_name() -> None:
    study = awkward()
    lines = writer(".dot")(study.to_networkx("layer")).splitlines()
    assert lines[0].startswith("digraph ") and lines[-1] == "}"
    nodes = [line for line in lines if "fillcolor" in line and not line.startswith("  node")]
    assert len(nodes) == len(study.layers)
    for line, row in zip(nodes, study.layers, strict=True):
        name, label, _ = dot_strings(line)
        assert label.split("\n")[0] == printable(f"{row.path} ({row.type})")
        assert name.replace("\n", "\\n") == printable(row.path)
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "S", line)
        assert re.fullmatch(r"  S \[label=S, fillcolor=S(, \w+=\d+)+\];", outside)


@pytest.mark.parametrize("name", NAMES)
def test_a_mermaid_label_is_one_quoted_string_of_entities(name: str) -> None:
    label = escaped(name)
    assert not re.search(r'["<>`|\n\\*~]|^_|_$|^\d+[.)] |^[-+] ', label)
    # after a backslash stands an empty space, so that Mermaid does not read \n as a new line
    shown = re.sub(r"#(\d+);", lambda m: chr(int(m[1])), label).replace("\\\u200b", "\\")
    assert shown == printable(name)


def test_a_mermaid_chart_has_a_line_for_each_node_and_edge() -> None:
    net = awkward().to_networkx("layer")
    head, *lines = writer(".mmd")(net).splitlines()
    assert head == "flowchart TD"
    assert len(lines) == len(net) + net.number_of_edges()
    node = re.compile(r'  n\d+\["[^"]*"\]')
    assert all(node.fullmatch(line) for line in lines[: len(net)])
    assert all(re.fullmatch(r"  n\d+ --> n\d+", line) for line in lines[len(net) :])


def test_an_unknown_suffix_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"\.png is not a graph format.*\.graphml, \.gexf"):
        writer(".png")
    with pytest.raises(InputError, match="the file has no suffix"):
        writer("")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(InputError, match="'module' is not a level"):
        huge().to_networkx("module")


def test_a_graph_with_nothing_in_it_is_still_a_file() -> None:
    s = Sketch()
    net = s.study(s.input((1,))).to_networkx("layer")
    for suffix, write in FORMATS.items():
        assert "image" in write(net), suffix


def test_blocks_that_a_way_leaves_and_enters_again_stay_apart() -> None:
    """Attention written with layers: its products lie between its projections."""
    study = costlens.analyze(build_abstractly(STYLES["attention_by_hand"].build))
    net = study.to_networkx("block")
    assert nx.is_directed_acyclic_graph(net)
    assert sum(data["macs"] for _, data in net.nodes(data=True)) == study.totals.macs
