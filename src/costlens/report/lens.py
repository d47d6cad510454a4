"""The 1×1 lens as sections: 1×1s by role, and blocks beside their plain forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from costlens import units
from costlens.analysis.figures import Figures, ratio, saved, worse
from costlens.analysis.pointwise import Pointwise
from costlens.analysis.savings import Line, Plain, Total
from costlens.motifs.catalogue import BY_ID, MOTIFS
from costlens.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Fact,
    Facts,
    Paragraph,
    Section,
    Table,
    bound,
)
from costlens.report.results import Results

SAME_SHAPES = "Plain forms have the same border shapes, not the same accuracy."
POLICY = (
    "What follows the convolution that is replaced stays (bias, norm, activation); what stood "
    "between convolutions that go goes with them. Figures of several blocks are priced with all "
    "of them in the plain form at once."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which blocks and plain forms are shown: motif ids and a glob over plain forms' names."""

    motifs: tuple[str, ...] = ()
    baseline: str | None = None

    def has(self, motif: str) -> bool:
        """Whether blocks of a motif are shown."""
        return not self.motifs or motif in self.motifs

    def shows(self, name: str) -> bool:
        """Whether a plain form is shown: its name, a part of it, or a glob."""
        wanted = self.baseline
        return wanted is None or wanted in name or fnmatchcase(name, wanted)


EVERYTHING = Choice()


def summary(study: Results) -> tuple[Section, ...]:
    """The lens in short; nothing where a model has no 1×1."""
    return (roles(study), overview(study)) if study.pointwise else ()


def roles(study: Results) -> Section:
    """What the model's 1×1s do, and what part of it they are."""
    columns = (
        Column("Role", "text"),
        Column("1×1s", "exact"),
        Column("MACs", "count"),
        Column("Params", "count", 1),
        Column("Activations", "bytes", 2),
        Column("Params %", "share"),
        Column("Activations %", "share", 1),
        Column("MACs %", "bar"),
    )
    rows = tuple(
        (
            line.role,
            line.calls,
            line.macs,
            line.params,
            line.activation_bytes,
            line.share_params,
            line.share_activations,
            line.share_macs,
        )
        for line in study.pointwise_shares
        if line.calls
    )
    return Section("1×1 convolutions", (Table(columns, rows),))


def overview(study: Results) -> Section:
    """Each motif as one line a plain form: the whole model as it is, and in that form."""
    columns = (
        Column("Blocks", "text"),
        Column("n", "exact"),
        Column("Plain form of all", "text"),
        Column("MACs then", "count"),
        Column("Saves", "share"),
        Column("×", "factor"),
        Column("Params then", "count", 1),
        Column("Params saved", "share", 1),
        Column("Traffic saved", "share", 2),
    )
    model = study.savings.model
    rows = [
        (
            BY_ID[total.motif].title,
            total.blocks,
            total.baseline.name,
            bound(total.baseline.cost, "macs"),
            *_against(model, total.baseline.cost, "macs"),
            total.baseline.cost.params,
            saved(total.baseline.cost.params, model.params),
            saved(total.baseline.cost.bytes_moved, model.bytes_moved),
        )
        for total in study.savings.totals
    ]
    if not rows:
        return Section("Blocks", (Paragraph("No block that is built on 1×1s was recognised."),))
    return Section("Blocks", (Table(columns, _unrepeated(rows, 2)), Paragraph(SAME_SHAPES)))


def document(study: Results, choice: Choice = EVERYTHING, misses: bool = False) -> Document:
    """Every 1×1 and every block against its plain form."""
    sections = [_totals(study), *([roles(study)] if not choice.motifs else [])]
    sections += sections_of(study, choice)
    if misses:
        sections.append(_misses(study, choice))
    sections.append(Section("How to read this", (Paragraph(SAME_SHAPES), Paragraph(POLICY))))
    return Document(study.graph.name, tuple(sections))


def sections_of(study: Results, choice: Choice = EVERYTHING) -> Iterator[Section]:
    """The blocks of each motif, and the 1×1s outside blocks."""
    for motif in MOTIFS:
        lines = [line for line in study.savings.lines if line.motif == motif.id]
        if lines and choice.has(motif.id):
            yield _motif(study, motif.id, lines, choice)
    if not choice.motifs:
        yield from _outside(study, choice)


def _totals(study: Results) -> Section:
    model, found = study.savings.model, study.savings
    *_, every = study.pointwise_shares
    known = " that are known" if "macs" in model.at_least else ""
    facts = [
        Fact("MACs", "exact", bound(model, "macs")),
        Fact("Parameters", "exact", model.params),
        Fact("1×1s", "exact", every.calls, f"{units.share(every.share_macs)} of the MACs{known}"),
        Fact("Blocks", "exact", len(study.blocks)),
    ]
    if found.every is not None:
        plain = found.every.baseline
        times = units.factor(ratio(plain.cost.macs, model.macs) or 1.0)
        said = f"MACs with {plain.name}: {times}"
        facts.append(Fact("All plain", "exact", bound(plain.cost, "macs"), said))
    return Section("Totals", (Facts(tuple(facts)),))


def _motif(study: Results, motif: str, lines: Sequence[Line], choice: Choice) -> Section:
    about = BY_ID[motif]
    wanted = [
        (line, plain) for line in lines for plain in line.baselines if choice.shows(plain.name)
    ]
    totals = [
        total
        for total in study.savings.totals
        if total.motif == motif and choice.shows(total.baseline.name)
    ]
    made: list[Block] = [Paragraph(f"Recognised by {about.says}. {about.paper}.")]
    if wanted:
        made += [_counts(study, wanted, totals), _traffic(study, wanted, totals)]
    named = {plain.name: plain.note for _, plain in wanted if plain.note}
    if named:
        made.append(Paragraph("; ".join(f"{name}: {note}" for name, note in named.items()) + "."))
    worse = _worse(wanted)
    if worse:
        made.append(Paragraph(worse))
    return Section(about.title, tuple(made))


def _counts(study: Results, wanted: Sequence[tuple[Line, Plain]], totals: Sequence[Total]) -> Table:
    columns = (
        Column("Block", "text"),
        Column("n", "exact"),
        Column("Plain form", "text"),
        Column("MACs", "count"),
        Column("plain", "count"),
        Column("saves", "share"),
        Column("×", "factor"),
        Column("Params", "count", 1),
        Column("plain", "count", 1),
        Column("saves", "share"),
        Column("×", "factor", 2),
    )

    def cells(own: Figures, plain: Figures) -> tuple[Cell, ...]:
        return tuple(
            cell
            for field in ("macs", "params")
            for cell in (
                bound(own, field),
                bound(plain, field),
                *_against(own, plain, field),
            )
        )

    rows: list[tuple[Cell, ...]] = [
        (_named(line.paths), len(line.paths), plain.name, *cells(line.cost, plain.cost))
        for line, plain in wanted
    ]
    model = study.savings.model
    rows += [
        (
            "whole model",
            total.blocks,
            total.baseline.name,
            *cells(model, total.baseline.cost),
        )
        for total in totals
    ]
    return Table(columns, _unrepeated(rows, 2))


def _traffic(
    study: Results, wanted: Sequence[tuple[Line, Plain]], totals: Sequence[Total]
) -> Table:
    columns = (
        Column("Block", "text"),
        Column("Plain form", "text"),
        Column("Activations", "bytes"),
        Column("plain", "bytes", 3),
        Column("saves", "share"),
        Column("×", "factor", 4),
        Column("Moved", "bytes"),
        Column("plain", "bytes", 3),
        Column("saves", "share"),
        Column("×", "factor", 4),
        Column("FLOPs/B", "decimal", 2),
        Column("plain", "decimal", 2),
        Column("Depth", "exact", 1),
        Column("plain", "exact", 1),
    )

    def cells(own: Figures, plain: Figures) -> tuple[Cell, ...]:
        made: list[Cell] = []
        for field in ("activation_bytes", "bytes_moved"):
            made += [bound(own, field), bound(plain, field), *_against(own, plain, field)]
        return (*made, own.intensity, plain.intensity, own.depth, plain.depth)

    rows: list[tuple[Cell, ...]] = [
        (_named(line.paths), plain.name, *cells(line.cost, plain.cost)) for line, plain in wanted
    ]
    model = study.savings.model
    rows += [
        ("whole model", total.baseline.name, *cells(model, total.baseline.cost)) for total in totals
    ]
    return Table(columns, _unrepeated(rows, 1))


def _worse(wanted: Sequence[tuple[Line, Plain]]) -> str:
    """What the blocks take more of, by plain form."""
    found: dict[str, dict[str, list[str]]] = {}
    for line, plain in wanted:
        for words in worse(line.cost, plain.cost):
            found.setdefault(plain.name, {}).setdefault(words, []).append(_named(line.paths))
    count = len({line.paths for line, _ in wanted})
    said = {
        name: "; ".join(_whose(words, lines, count) for words, lines in more.items())
        for name, more in found.items()
    }
    return " ".join(f"More than {name}: {more}." for name, more in said.items())


def _whose(words: str, lines: Sequence[str], count: int) -> str:
    return f"{words} ({'all of them' if len(lines) == count else ', '.join(lines)})"


def _outside(study: Results, choice: Choice) -> Iterator[Section]:
    """1×1s that belong to no block."""
    columns = (
        Column("1×1", "text"),
        Column("Role", "text"),
        Column("Channels", "text"),
        Column("Plain form", "text"),
        Column("MACs", "count"),
        Column("plain", "count"),
        Column("saves", "share"),
        Column("×", "factor"),
        Column("Params", "count", 1),
        Column("plain", "count", 1),
        Column("saves", "share", 2),
        Column("Non-linearities/GMAC", "decimal", 3),
        Column("plain", "decimal", 3),
    )
    rows = [
        _outside_row(study, each)
        for each in study.pointwise
        if each.block is None and (each.baseline is None or choice.shows(each.baseline.name))
    ]
    if rows:
        yield Section("1×1s outside blocks", (Table(columns, tuple(rows)),))


def _outside_row(study: Results, each: Pointwise) -> tuple[Cell, ...]:
    plain = each.baseline
    start = (named(study, each), each.role, f"{each.in_channels} → {each.out_channels}")
    if plain is None:
        return (*start, f"none: {each.no_baseline}", each.macs, *(None,) * 8)
    own, new = plain.own, plain.cost
    return (
        *start,
        plain.name,
        own.macs,
        new.macs,
        *_against(own, new, "macs"),
        own.params,
        new.params,
        saved(new.params, own.params),
        own.depth_per_gmac,
        new.depth_per_gmac,
    )


def named(study: Results, each: Pointwise) -> str:
    """A 1×1's layer, or its op call where the layer has several; and which call of it."""
    several = sum((p.path, p.call) == (each.path, each.call) for p in study.pointwise) > 1
    label = each.node if several else each.path
    return label if several or each.call <= 1 else f"{label} (call {each.call})"


def _misses(study: Results, choice: Choice) -> Section:
    columns = (Column("Looked for", "text"), Column("At", "text"), Column("Why not", "text"))
    rows = tuple((m.motif, m.path, m.reason) for m in study.misses if choice.has(m.motif))
    return Section("Near misses", (Table(columns, rows),))


def _against(own: Figures, plain: Figures, field: str) -> tuple[Cell, Cell]:
    a, b = getattr(own, field), getattr(plain, field)
    return saved(b, a), ratio(b, a)


def _named(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} … {paths[-1]}"


def _unrepeated(rows: Sequence[tuple[Cell, ...]], first: int) -> tuple[tuple[Cell, ...], ...]:
    """Rows whose first cells stand only where they change."""
    made, last = [], None
    for row in rows:
        head = row[:first]
        made.append(("",) * first + row[first:] if head == last else row)
        last = head
    return tuple(made)
