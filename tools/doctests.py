"""Run the Python examples of Markdown pages: `python tools/doctests.py README.md docs`.

The standard doctest reader takes the closing fence of a code block for expected output, so the
blocks are cut out first. Only ```pycon blocks are run; a page's blocks share their names, from top
to bottom, and line numbers are the page's own. Nothing found at all is a failure, so that a renamed
page cannot pass unseen.
"""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

from costlens.frontends.script import process, session

BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def pages(names: list[str]) -> list[Path]:
    """The Markdown files named, and those in the folders named."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        found += sorted(path.rglob("*.md")) if path.is_dir() else [path]
    return found


def run(page: Path) -> doctest.TestResults:
    """Run one page's blocks as one session."""
    text = page.read_text(encoding="utf-8")
    # Everything outside the blocks becomes empty lines, which keeps the line numbers.
    kept: list[str] = []
    end = 0
    for block in BLOCK.finditer(text):
        kept += ["\n" * text.count("\n", end, block.start(1)), block.group(1)]
        end = block.end(1)
    test = doctest.DocTestParser().get_doctest("".join(kept), {}, str(page), str(page), 0)
    return doctest.DocTestRunner(optionflags=FLAGS).run(test)


def main(names: list[str]) -> int:
    """Run all pages, say what was run, and return the exit status.

    Scripts run in this process, which loads Keras only once.
    """
    process.ask = session.answer
    results = [run(page) for page in pages(names)]
    failed = sum(result.failed for result in results)
    attempted = sum(result.attempted for result in results)
    print(f"{attempted} examples in {len(results)} pages, {failed} failed")
    return 1 if failed or not attempted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
