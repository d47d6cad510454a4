"""Where results go: standard output or files, each written whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from costlens.errors import InputError
from costlens.units import printable

if TYPE_CHECKING:
    from costlens.frontends import Source
    from costlens.study import Study


def write_files(files: Mapping[Path, str]) -> None:
    """Write files whole or not at all; raises InputError where one cannot be written.

    Every file is written beside its place before the first one takes it. A link is followed; a
    device or pipe is written as it is.
    """
    staged: list[tuple[str, Path]] = []
    path = Path()
    try:
        for path, text in files.items():
            if os.path.exists(path) and not os.path.isfile(path):
                _fill(os.open(path, os.O_WRONLY), text)
                continue
            folder = os.path.dirname(os.path.realpath(path))
            handle, name = tempfile.mkstemp(dir=folder, prefix=".costlens-")
            staged.append((name, path))
            _fill(handle, text)
            os.chmod(name, _mode(path))
        while staged:
            name, path = staged[0]
            os.replace(name, os.path.realpath(path))
            staged.pop(0)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            str(path), f"cannot be written: {why}", "Choose another place with -o."
        ) from error
    finally:
        for name, _ in staged:
            with suppress(OSError):
                os.unlink(name)


def _fill(handle: int, text: str) -> None:
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(text)


def _mode(path: Path) -> int:
    """The permissions of a file that is there, or those of a new one."""
    if os.path.exists(path):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def check_writable(path: Path) -> None:
    """Fail before the work is done where a file could not be written after it."""
    folder = path.parent
    if os.path.isdir(path):
        raise InputError(str(path), "is a folder", "Name a file with -o.")
    if not os.path.isdir(folder):
        raise InputError(str(path), f"there is no folder {folder}", "Make it, or choose another.")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise InputError(str(path), "cannot be written", "Choose another place with -o.")


def emit(text: str, path: Path | None) -> None:
    """Text to a file, or to standard output."""
    if path is not None:
        write_files({path: text})
        return
    stream = sys.stdout
    if stream is None:  # closed by the caller
        raise InputError("standard output", "is closed", "Name a file with -o.")
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise InputError(
            "standard output", f"cannot be written: {error.strerror}", "Name a file with -o."
        ) from error


def discard_output() -> None:
    """Send what is left of standard output nowhere, so that Python's own last flush passes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: str) -> None:
    """One line on standard error, whatever it quotes."""
    print(f"costlens: {printable(text)}", file=sys.stderr)


_MOST_WARNINGS = 20


def warn_of_script(source: Source) -> None:
    """Say what was skipped and stood in for in a script; what is left out is in the notes."""
    for text in source.warnings[:_MOST_WARNINGS]:
        warn(text)
    left = len(source.warnings) - _MOST_WARNINGS
    if left > 0:
        warn(f"{left} more warnings are in the notes of --format json.")


def warn_unknown(study: Study) -> None:
    """Say that totals are lower bounds, where something is unknown."""
    unknown = study.coverage.unknown
    if unknown:
        calls = "1 op call is" if len(unknown) == 1 else f"{len(unknown):,} op calls are"
        warn(
            f"{study.graph.name}: {calls} not fully counted, so totals marked ≥ are lower "
            f"bounds; the first: {unknown[0].layer}: {unknown[0].reason}."
        )


@contextmanager
def progress(what: str, quiet: bool) -> Iterator[None]:
    """A line on standard error while something takes over a second, at a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    started = time.monotonic()
    with Console(stderr=True).status(Text(printable(what))):
        yield
    if time.monotonic() - started > 5:
        print(f"{printable(what)}: {time.monotonic() - started:.0f} s", file=sys.stderr)
