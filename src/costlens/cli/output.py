"""Where results go: standard output or files, each written whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from costlens.errors import InputError


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises InputError where it cannot be written."""
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder")
        handle, name = tempfile.mkstemp(dir=path.parent or ".", prefix=".costlens-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InputError(
            str(path), f"cannot be written: {error.strerror}", "Choose another place with -o."
        ) from error


def check_writable(path: Path) -> None:
    """Fail before the work is done where a file could not be written after it."""
    folder = path.parent
    if path.is_dir():
        raise InputError(str(path), "is a folder", "Name a file with -o.")
    if not folder.is_dir():
        raise InputError(str(path), f"there is no folder {folder}", "Make it, or choose another.")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(str(path), "cannot be written", "Choose another place with -o.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def emit(text: str, path: Path | None) -> None:
    """Text to a file, or to standard output."""
    if path is not None:
        write_file(path, text)
        return
    stream = sys.stdout
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


@contextmanager
def progress(what: str, quiet: bool) -> Iterator[None]:
    """A line on standard error while something takes over a second, at a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    started = time.monotonic()
    with Console(stderr=True).status(what):
        yield
    if time.monotonic() - started > 5:
        print(f"{what}: {time.monotonic() - started:.0f} s", file=sys.stderr)
