"""The text of a script: a Python file, or the code cells of a notebook."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from costlens.errors import InputError


def parsed(path: Path) -> tuple[ast.Module, tuple[str, ...]]:
    """The syntax of a script, and what there is to say of it.

    Raises InputError where the file cannot be read or is no Python.
    """
    try:
        source: str | bytes = path.read_bytes()
        said: tuple[str, ...] = ()
        if path.suffix.lower() == ".ipynb":
            source, said = _notebook(path, source)
        return ast.parse(source, str(path)), said
    except OSError as error:
        raise InputError(str(path), str(error.strerror), "Check the file.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        message = getattr(error, "msg", None) or str(error)
        raise InputError(where, f"{type(error).__name__}: {message}", "Fix the script.") from error


def _notebook(path: Path, content: str | bytes) -> tuple[str, tuple[str, ...]]:
    """The code cells as one text; a line of it is what warnings name."""
    try:
        notebook = json.loads(content)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        code = [_text(cell) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(str(path), "it is no notebook", "Check the file.") from error
    dropped = 0
    parts = []
    for cell in code:
        kept, gone = _without_magics(cell)
        dropped += gone
        parts.append(kept)
    lines = "1 line" if dropped == 1 else f"{dropped} lines"
    said = (f"{lines} of notebook magic (% and !) left out",) if dropped else ()
    return "\n".join(parts) + "\n", said


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
