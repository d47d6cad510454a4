"""The text of a script: a Python file, or the code cells of a notebook."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

from costlens.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """A script's syntax; of a notebook the first line and number of each code cell, and what
    there is to say of it."""

    tree: ast.Module
    cells: tuple[tuple[int, int], ...] = ()
    said: str = ""


def parsed(path: Path) -> Source:
    """The syntax of a script; raises InputError where the file cannot be read or is no Python."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".ipynb":
            text, cells, said = _notebook(path, content)
            return Source(ast.parse(text, str(path)), cells, said)
        return Source(ast.parse(content, str(path)))
    except OSError as error:
        raise InputError(str(path), str(error.strerror), "Check the file.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        message = getattr(error, "msg", None) or str(error)
        raise InputError(where, f"{type(error).__name__}: {message}", "Fix the script.") from error


def _notebook(path: Path, content: bytes) -> tuple[str, tuple[tuple[int, int], ...], str]:
    """The code cells as one text, where each begins, and what is left out."""
    try:
        notebook = json.loads(content)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        code = [_text(cell) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(str(path), "it is no notebook", "Check the file.") from error
    dropped, line = 0, 1
    parts, starts = [], []
    for number, cell in enumerate(code, 1):
        kept, gone = _without_magics(cell)
        dropped += gone
        parts.append(kept)
        starts.append((line, number))
        line += kept.count("\n") + 1
    lines = "1 line" if dropped == 1 else f"{dropped} lines"
    said = f"{lines} of notebook magic (% and !) left out" if dropped else ""
    return "\n".join(parts) + "\n", tuple(starts), said


def _text(cell: dict[str, object]) -> str:
    source = cell["source"] if "source" in cell else cell["input"]
    return source if isinstance(source, str) else "".join(map(str, source))  # type: ignore[call-overload]


_MAGIC = re.compile(r"^(\s*)([%!?].*|.*[^=!<>]=\s*[!%](?!=)\s*\w.*|[\w.]+\?{1,2}\s*)$")


def _without_magics(cell: str) -> tuple[str, int]:
    """A cell whose magic lines do nothing; a cell that does not parse says so when it runs."""
    if cell.lstrip().startswith("%%"):
        first, _, rest = cell.lstrip().partition("\n")
        if re.match(r"%%(time|timeit|capture|prun)\b", first):
            kept, gone = _without_magics(rest)
            return f"pass\n{kept}", gone + 1
        return "pass\n" * (cell.count("\n") + 1), 1
    try:
        ast.parse(cell)
        return cell, 0
    except (SyntaxError, ValueError):
        pass
    lines, gone, going_on = [], 0, False
    for line in cell.split("\n"):
        match = _MAGIC.match(line)
        if match or going_on:
            gone += 1
            lines.append(f"{match.group(1)}pass" if match else "")
            going_on = line.rstrip().endswith("\\")
        else:
            lines.append(line)
    kept = "\n".join(lines)
    try:
        ast.parse(kept)
    except (SyntaxError, ValueError) as error:
        reason = str(getattr(error, "msg", error))
        return f"raise SyntaxError({reason!r})\n" + "pass\n" * kept.count("\n"), gone
    return kept, gone
