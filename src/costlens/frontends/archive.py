"""A ``.keras`` archive: its configuration, and the headers of its weights. Runs nothing in it.

Members are read by name, never unpacked, and never beyond a limit; of the weights only the
headers are read, through a view of the place where they lie in the archive.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from costlens.errors import InputError
from costlens.frontends.held import Held
from costlens.ir.types import TensorType

MAX_CONFIG = 32 * 2**20
_MAX_METADATA = 2**16
_MAX_VARIABLES = 100_000
_MAX_DEPTH = 64
_WEIGHTS = "model.weights.h5"
_LOCAL_HEADER = 30
_DAMAGED = "Copy or save it again."


@dataclass(frozen=True, slots=True)
class Archive:
    """What is read of an archive; ``held`` is None where ``why`` says that it was not read."""

    config: bytes
    metadata: bytes
    held: Held | None
    why: str = ""


def read_archive(path: Path) -> Archive:
    """Read a ``.keras`` file; raises InputError where it is damaged or holds no model."""
    where = str(path)
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            config = _member(archive, "config.json", MAX_CONFIG, where)
            metadata = _member(archive, "metadata.json", _MAX_METADATA, where)
            if config is None or metadata is None:
                absent = "config.json" if config is None else "metadata.json"
                raise InputError(where, f"holds no {absent}", "Save the model with Keras 3.")
            return Archive(config, metadata, *_weights(file, archive, where))
    except OSError as error:
        raise InputError(where, f"cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise InputError(where, f"is no whole .keras archive ({error})", _DAMAGED) from error


def _member(archive: zipfile.ZipFile, name: str, limit: int, where: str) -> bytes | None:
    """A member's text, never more than ``limit`` bytes of it; None where there is none."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        return None
    if info.flag_bits & 1:
        raise InputError(where, f"its {name} is encrypted", "Save it without a password.")
    with archive.open(info) as member:
        text = member.read(limit + 1)
    if len(text) > limit:
        raise InputError(where, f"its {name} is larger than {limit // 2**10:,} KiB")
    return text


def _weights(file: IO[bytes], archive: zipfile.ZipFile, where: str) -> tuple[Held | None, str]:
    """What the archive stores of the weights, or why that is not read."""
    try:
        info = archive.getinfo(_WEIGHTS)
    except KeyError:
        return None, f"The archive holds no {_WEIGHTS}: weights are those that its config asks for."
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        return None, (
            f"The archive's {_WEIGHTS} is compressed or encrypted and was not read: weights are "
            "those that its config asks for."
        )
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no header for {_WEIGHTS}")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    start = info.header_offset + _LOCAL_HEADER + names
    if start + info.file_size > os.fstat(file.fileno()).st_size:
        raise zipfile.BadZipFile(f"{_WEIGHTS} is cut off")
    with _opened(_View(file, start, info.file_size), where) as h5:
        return _group(h5, where), ""


@contextmanager
def _opened(view: _View, where: str) -> Iterator[Any]:
    """The weights' file; whatever HDF5 does not take in it is one line."""
    import h5py

    try:
        with h5py.File(view, "r", locking=False) as h5:
            yield h5
    except InputError:
        raise
    except Exception as error:  # h5py raises anything on a damaged file
        raise InputError(where, f"its {_WEIGHTS} cannot be read ({error})", _DAMAGED) from error


class _View(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; as in any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as this part goes."""
        count = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _group(h5: Any, where: str) -> Held:
    """Every variable's header below the root, optimizer and metrics left out."""
    import h5py

    count = 0

    def read(group: Any, depth: int) -> Held:
        nonlocal count
        variables: dict[str, TensorType] = {}
        groups: dict[str, Held] = {}
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise InputError(where, f"its {_WEIGHTS} points outside itself", _DAMAGED)
            count += 1
            if depth > _MAX_DEPTH or count > _MAX_VARIABLES:
                raise InputError(where, f"its {_WEIGHTS} holds too many groups")
            item = group[name]
            if isinstance(item, h5py.Dataset):
                variables[name] = _type(item)
            elif depth or name == "layers":
                groups[name] = read(item, depth + 1)
        own = groups.pop("vars", None)
        return Held(own.variables if own else variables, groups)

    return read(h5, 0)


def _type(dataset: Any) -> TensorType:
    dtype = dataset.dtype
    if dtype.kind == "V":  # bfloat16, which HDF5 does not know, says so beside
        return TensorType(tuple(dataset.shape or ()), str(dataset.attrs.get("dtype", "unknown")))
    return TensorType(tuple(dataset.shape or ()), str(dtype.name))
