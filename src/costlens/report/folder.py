"""A folder of reports: Markdown, JSON, CSV and graphs per model, and an index that compares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from costlens import units
from costlens.report import lens
from costlens.report.build import summary
from costlens.report.document import (
    Cell,
    Column,
    Diagram,
    Document,
    Paragraph,
    Section,
    Table,
    bound,
)
from costlens.report.markdown import escape, render
from costlens.report.results import Results


def slug(name: str, taken: Sequence[str]) -> str:
    """A file name for a model: letters, digits, ``-`` and ``_``; numbered where taken."""
    base = re.sub(r"[^\w-]+", "-", name)[:80].strip("-").lower() or "model"
    made, n = base, 2
    while made in taken or made == "readme":
        made, n = f"{base}-{n}", n + 1
    return made


def title(study: Results) -> str:
    """A model's name; where Keras made it up, those of its file and of what made it."""
    made_up = re.fullmatch(r"(functional|sequential|model)(_\d+)?", study.graph.name)
    target = re.match(r"(?:.*/)?([^/:]+)\.py(:\w+)?", study.source.target)
    return f"{target[1]}{target[2] or ''}" if made_up and target else study.graph.name


def model_page(study: Results, links: Mapping[str, str], diagram: str | None) -> str:
    """One model's report; ``links`` are file names by what they hold."""
    document = summary(study)
    figures = [Section("Where the MACs are", (Diagram(macs_chart(study)),))]
    figures += [Section("Memory over time", (Diagram(memory_chart(study)),))]
    if diagram is not None:
        figures.append(Section("Graph", (Diagram(diagram),)))
    sections = (document.sections[0], *figures, *document.sections[1:], *_lens(study))
    text = render(Document(title(study), sections))
    files = ", ".join(f"[{what}]({quote(name)})" for what, name in links.items())
    return f"{text}\nThe same as files: {files}.\n"


def _lens(study: Results) -> tuple[Section, ...]:
    """Each block and 1×1 beside its plain form."""
    found = tuple(lens.sections_of(study))
    return (*found, Section("Plain forms", (Paragraph(lens.POLICY),))) if found else ()


_BLUE = '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#2563eb"}}}}%%'


def macs_chart(study: Results, limit: int = 12) -> str:
    """A Mermaid bar chart of the layers with the most MACs, from zero; in millions if many."""
    rows = [row for row in sorted(study.layers, key=lambda row: -row.macs)[:limit] if row.macs]
    names = ", ".join(_axis(row.path) for row in rows) or '"none"'
    many = bool(rows) and rows[0].macs >= 10**5
    values = [f"{row.macs / 1e6:.3f}" if many else f"{row.macs}" for row in rows] or ["0"]
    return (
        f"{_BLUE}\n"
        "xychart-beta horizontal\n"
        '  title "Layers with the most MACs"\n'
        f"  x-axis [{names}]\n"
        f'  y-axis "{"million MACs" if many else "MACs"}" 0 --> {values[0] if rows else 1}\n'
        f"  bar [{', '.join(values)}]\n"
    )


def memory_chart(study: Results, points: int = 120) -> str:
    """A Mermaid line of the bytes alive over the run, in KiB; long runs show each part's most."""
    levels = [level for _, level in study.memory.timeline] or [0]
    step = -(-len(levels) // points)
    peaks = [max(levels[i : i + step]) for i in range(0, len(levels), step)]
    values = ", ".join(f"{level / 1024:.1f}" for level in peaks)
    return (
        f"{_BLUE}\n"
        "xychart-beta\n"
        '  title "Activations alive, in run order"\n'
        f'  x-axis "op call" 0 --> {len(levels)}\n'
        f'  y-axis "KiB" 0 --> {max(*peaks, 1024) / 1024:.1f}\n'
        f"  line [{values}]\n"
    )


def _axis(path: str) -> str:
    """A chart label: room for the end of a long path, and no character that needs an escape."""
    plain = re.sub(r"[^\w ./()+:-]", "·", units.printable(path))
    return f'"{plain if len(plain) <= 28 else f"…{plain[-27:]}"}"'


def index_page(studies: Sequence[Results], pages: Sequence[str]) -> str:
    """One line per model, side by side."""
    columns = (
        Column("Model", "text"),
        Column("Parameters", "exact"),
        Column("MACs", "exact"),
        Column("FLOPs", "count"),
        Column("Weights", "bytes"),
        Column("Activations", "bytes"),
        Column("Peak memory", "bytes"),
        Column("1×1s, of MACs", "share"),
        Column("Blocks", "exact"),
        Column("Layers", "exact"),
        Column("Unknown", "exact"),
        Column("Source", "text"),
    )
    rows = tuple(_index_row(study) for study in studies)
    text = render(
        Document(
            "Reports",
            (
                Section("Models", (Table(columns, rows),)),
                Section("Pages", ()),
            ),
        )
    )
    links = "\n".join(
        f"* [{escape(title(study))}]({quote(page)}): {_inputs(study)}"
        for study, page in zip(studies, pages, strict=True)
    )
    return f"{text}\n{links}\n"


def _inputs(study: Results) -> str:
    graph = study.graph
    return ", ".join(units.shape(graph.values[value].shape) for value in graph.inputs)


def _index_row(study: Results) -> tuple[Cell, ...]:
    totals = study.totals

    return (
        title(study),
        totals.params,
        bound(totals, "macs"),
        bound(totals, "flops"),
        totals.weight_bytes,
        bound(totals, "activation_bytes"),
        bound(totals, "peak_memory_bytes"),
        study.pointwise_shares[-1].share_macs,
        len(study.blocks),
        totals.layers,
        len(study.coverage.unknown),
        study.source.target,
    )
