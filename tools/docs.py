"""The generated pages: docs/ops.md, reports/ and the output blocks of README.md and docs/.

`python tools/docs.py` writes them anew; `--check` fails when one is stale, and names it. An output
block is a fenced block after a comment `<!-- output of: costlens ... -->`.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from costlens.frontends.script import process, session

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- output of: costlens (.*?) -->\n+```\w*\n)(.*?)(```)", re.DOTALL)
VERSION = re.compile(r'"keras": "[^"]*"')  # a report does not go stale with a Keras release


def costlens(*arguments: str) -> str:
    """What the command prints; it has to succeed."""
    from costlens.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(sys.stderr):
        status = main([*arguments, "--quiet"])
    if status:
        raise SystemExit(f"costlens {' '.join(arguments)}: exit {status}")
    return out.getvalue()


def reports() -> dict[str, str]:
    """Every file of reports/, by its path from the root."""
    targets = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*.py"))
    with tempfile.TemporaryDirectory() as folder:
        costlens("report", *targets, "-o", folder)
        return {
            f"reports/{path.name}": path.read_text(encoding="utf-8")
            for path in sorted(Path(folder).iterdir())
        }


def with_output(page: Path) -> str:
    """A page with each output block filled in."""

    def fill(match: re.Match[str]) -> str:
        return match[1] + costlens(*match[2].split()) + match[4]

    return BLOCK.sub(fill, page.read_text(encoding="utf-8"))


def wanted() -> dict[str, str]:
    """Every generated file and what it should hold."""
    files = reports()
    files["docs/ops.md"] = costlens("ops", "--format", "markdown")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        name = str(page.relative_to(ROOT))
        if name not in files and BLOCK.search(page.read_text(encoding="utf-8")):
            files[name] = with_output(page)
    return files


def stale(files: dict[str, str]) -> list[str]:
    """The names of the files that are not as they should be, with their first difference."""
    found = []
    for name, text in files.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if VERSION.sub("", old) != VERSION.sub("", text):
            lines = difflib.unified_diff(old.splitlines(), text.splitlines(), lineterm="", n=0)
            found.append(f"{name}: " + " | ".join(list(lines)[2:6]))
    extra = {f"reports/{path.name}" for path in (ROOT / "reports").glob("*")} - set(files)
    return found + [f"{name}: nothing makes it" for name in sorted(extra)]


def main() -> int:
    """Write, or check."""
    os.chdir(ROOT)
    os.environ["COLUMNS"] = "100"
    process.ask = session.answer  # in this process, which loads Keras only once
    files = wanted()
    if "--check" in sys.argv[1:]:
        found = stale(files)
        for line in found:
            print(f"stale: {line}")
        print(f"{len(files)} generated files, {len(found)} stale (make docs writes them)")
        return 1 if found else 0
    for name, text in files.items():
        path = ROOT / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in (ROOT / "reports").glob("*"):
        if f"reports/{path.name}" not in files:
            path.unlink()
    print(f"{len(files)} generated files written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
