"""``costlens report TARGET… -o reports/``: a folder of reports, and an index of them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlens.cli import options as flags
from costlens.cli.output import progress, warn_of_script, write_files
from costlens.errors import InputError
from costlens.units import printable

if TYPE_CHECKING:
    from costlens.study import Study

_MOST_NODES_DRAWN = 120  # beyond that a picture in a page says nothing


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "report",
        help="write a folder of reports",
        description="One page per TARGET (Markdown with charts), its JSON, CSV and graph, and an "
        "index that compares them.",
    )
    flags.add_target(parser, many=True)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="made if it is not there"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Analyse every target first; write only when all of them could be read."""
    folder: Path = options.output
    _check_folder(folder)
    studies = []
    for target in options.target:
        with progress(f"reading {target}", options.quiet):
            studies.append(flags.study(options, target))
        if not options.quiet:
            warn_of_script(studies[-1].source)
    files = _files(studies)
    with _made(folder):
        write_files({folder / name: text for name, text in files.items()})
    if not options.quiet:
        start = folder / "README.md"
        print(printable(f"{len(files)} files in {folder}; start with {start}"), file=sys.stderr)
    return 0


def _check_folder(folder: Path) -> None:
    parent = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p))
    if not os.path.isdir(parent):
        raise InputError(str(folder), f"{parent} is a file", "Name a folder with -o.")
    if not os.access(parent, os.W_OK):
        raise InputError(str(folder), "cannot be written", "Choose another place with -o.")


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; what was made goes again where the block fails."""
    missing = [p for p in (folder, *folder.parents) if not os.path.exists(p)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            fix = "Choose another place with -o."
            raise InputError(str(folder), f"cannot be made: {why}", fix) from error
        yield
    except BaseException:
        for made in missing:
            with suppress(OSError, ValueError):
                made.rmdir()
        raise


def _files(studies: list[Study]) -> dict[str, str]:
    """Every file's name and text, so that nothing is written when one of them fails."""
    from costlens.export.files import writer
    from costlens.report.folder import index_page, model_page, slug, title

    files: dict[str, str] = {}
    pages: list[str] = []
    for study in studies:
        name = slug(title(study), [page.removesuffix(".md") for page in pages])
        pages.append(f"{name}.md")
        net, drawn = study.to_networkx("layer"), study.to_networkx("block")
        links = {"JSON": f"{name}.json", "CSV": f"{name}.csv", "GraphML": f"{name}.graphml"}
        diagram = writer(".mmd")(drawn) if len(drawn) <= _MOST_NODES_DRAWN else None
        files[f"{name}.md"] = model_page(study, links, diagram)
        files[f"{name}.json"] = study.to_json()
        files[f"{name}.csv"] = study.to_csv()
        files[f"{name}.graphml"] = writer(".graphml")(net)
    files["README.md"] = index_page(studies, pages)
    return files
