"""A script writes nothing: what it writes goes to a folder that is thrown away."""

from __future__ import annotations

import builtins
import importlib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from costlens.frontends.script.patches import Patches

_CHANGE = (
    "remove", "unlink", "rmdir", "removedirs", "rename", "replace", "renames", "symlink", "link",
    "chmod", "chown", "truncate", "utime", "mkfifo", "mknod",
)  # fmt: skip
_FREE = ("/dev/", "/proc/self/fd/")


class Shadow:
    """Where each path that is written really lies; made when first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.used = False

    def of(self, path: Any) -> str | None:
        """The path in the folder that stands for this one; None for a descriptor or device."""
        if isinstance(path, int):
            return None
        try:
            text = os.fsdecode(path)
        except TypeError:
            return None
        whole = os.path.abspath(text)
        if whole.startswith((*_FREE, self.folder)):
            return None
        return self.folder + os.path.splitdrive(whole)[1]

    def to_write(self, path: Any, keeps: Callable[[str, str], None] | None = None) -> Any:
        """Where a file is to be written; ``keeps`` copies what it holds before."""
        shadow = self.of(path)
        if shadow is None:
            return path
        self.used = True
        _plain_makedirs(os.path.dirname(shadow))
        if keeps is not None and not _lexists(shadow) and os.path.isfile(path):
            keeps(os.fsdecode(path), shadow)
        return shadow

    def to_read(self, path: Any) -> Any:
        """Where a file is to be read: where the script has written it, if it has."""
        shadow = self.of(path) if self.used else None
        return shadow if shadow is not None and _lexists(shadow) else path


_lexists, _open = os.path.lexists, io.open
_mkdir, _stat = os.mkdir, os.stat


def nothing_written(folder: Path, patches: Patches) -> None:
    """Send all that Python code writes to the folder."""
    shadow = Shadow(folder)
    temporary = folder / "temporary"
    temporary.mkdir(parents=True, exist_ok=True)
    patches.set(tempfile, "tempdir", str(temporary))
    for module in (builtins, io):
        patches.set(module, "open", _opening(shadow))
    patches.set(os, "open", _os_opening(shadow, os.open))
    patches.set(os, "mkdir", _making(shadow))
    for name in ("stat", "lstat", "listdir", "scandir", "access", "readlink"):
        patches.set(os, name, _reading(shadow, getattr(os, name)))
    for name in _CHANGE:
        if hasattr(os, name):
            patches.set(os, name, _changing(shadow, getattr(os, name)))
    _h5py(shadow, patches)
    _tensorflow(patches)


def _opening(shadow: Shadow) -> Callable[..., Any]:
    def open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if any(letter in mode for letter in "wax+"):
            return _open(
                shadow.to_write(file, _copy if "w" not in mode else None), mode, *args, **kwargs
            )
        return _open(shadow.to_read(file), mode, *args, **kwargs)

    return open


def _copy(source: str, target: str) -> None:
    with _open(source, "rb") as old, _open(target, "wb") as new:
        new.write(old.read())


def _os_opening(shadow: Shadow, original: Callable[..., int]) -> Callable[..., int]:
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if kwargs.get("dir_fd") is None:
            path = shadow.to_write(path) if flags & writes else shadow.to_read(path)
        return original(path, flags, *args, **kwargs)

    return open


def _making(shadow: Shadow) -> Callable[..., None]:
    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: Any = None) -> None:
        target = shadow.of(path)
        if target is None:
            return _mkdir(path, mode)
        if os.path.lexists(path):  # there already, in either place
            raise FileExistsError(17, "File exists", os.fsdecode(path))
        shadow.used = True
        return _plain_makedirs(target)

    return mkdir


def _plain_makedirs(target: str) -> None:
    missing = []
    while not _exists(target):
        missing.append(target)
        target = os.path.dirname(target)
    for path in reversed(missing):
        _mkdir(path)


def _exists(path: str) -> bool:
    try:
        _stat(path)
    except OSError:
        return False
    return True


def _reading(shadow: Shadow, original: Callable[..., Any]) -> Callable[..., Any]:
    def read(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
        return original(shadow.to_read(path), *args, **kwargs)

    return read


def _changing(shadow: Shadow, original: Callable[..., Any]) -> Callable[..., Any]:
    """Changes only what the script has written itself."""

    def change(path: Any, *args: Any, **kwargs: Any) -> Any:
        inside = shadow.of(path)
        if inside is None or not _exists(inside):
            return None if inside is not None else original(path, *args, **kwargs)
        others = [shadow.to_write(a) if isinstance(a, (str, bytes, Path)) else a for a in args]
        return original(inside, *others, **kwargs)

    return change


def _h5py(shadow: Shadow, patches: Patches) -> None:
    h5py = importlib.import_module("h5py")
    original = h5py.File.__init__

    def init(self: Any, name: Any, mode: str = "r", *args: Any, **kwargs: Any) -> None:
        if isinstance(name, (str, bytes, Path)):
            name = shadow.to_read(name) if mode == "r" else shadow.to_write(name, _copy)
        original(self, name, mode, *args, **kwargs)

    patches.set(h5py.File, "__init__", init)


def _tensorflow(patches: Patches) -> None:
    """What TensorFlow writes with code of its own."""
    import sys

    if "tensorflow" not in sys.modules:
        return
    tf = importlib.import_module("tensorflow")

    def nothing(*args: Any, **kwargs: Any) -> None:
        """Writes nothing."""

    for name in ("makedirs", "mkdir", "remove", "rmtree", "rename", "copy"):
        patches.set(tf.io.gfile, name, nothing)
    original = tf.io.gfile.GFile

    def gfile(name: Any, mode: str = "r") -> Any:
        return original(name, mode) if mode in ("r", "rb") else open(name, mode)

    patches.set(tf.io.gfile, "GFile", gfile)
    patches.set(tf.io, "write_file", nothing)
    patches.set(tf.saved_model, "save", nothing)
    for name in ("save", "write", "restore", "read"):
        patches.set(tf.train.Checkpoint, name, nothing)
    patches.set(tf.train.CheckpointManager, "save", nothing)
    patches.set(tf.summary, "create_file_writer", lambda *a, **k: tf.summary.create_noop_writer())
    for name in ("start", "stop"):
        patches.set(tf.profiler.experimental, name, nothing)
