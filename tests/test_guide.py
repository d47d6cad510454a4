"""The guide to 1×1s: it has every role and every motif, with picture and paper, and its links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from costlens.motifs.catalogue import MOTIFS
from costlens.motifs.match import Motif
from costlens.motifs.roles import ROLES

DOCS = Path(__file__).parents[1] / "docs"
GUIDE = (DOCS / "one-by-one.md").read_text(encoding="utf-8")
PAGES = ("one-by-one.md", "adding-a-motif.md", "conventions.md")


def section(heading: str) -> str:
    """What stands under a heading of the third level, as one line."""
    _, _, rest = GUIDE.partition(f"\n### {heading}\n")
    return " ".join(re.split(r"\n##", rest)[0].split())


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("motif", MOTIFS, ids=lambda motif: motif.id)
def test_every_motif(motif: Motif) -> None:
    text = section(motif.id)
    assert all(part in text for part in ("ecognised by", "```mermaid", "```pycon", "**Pays**"))
    paper = re.search(r"arXiv:[\d.]+\d", motif.paper)
    assert paper and (paper[0] in text or "as above" in text)


def test_every_role_has_its_definition() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", section_of_roles(), re.MULTILINE)
    assert dict(rows[1:]) == {role.id: role.says for role in ROLES}


def section_of_roles() -> str:
    _, _, rest = GUIDE.partition("\n## Roles\n")
    return rest[: rest.index("\n### ")]


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = DOCS / name if name else DOCS / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target
