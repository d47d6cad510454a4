"""A ``.keras`` archive: its configuration, and the headers of its weights. Runs nothing in it.

Members are read by name, never unpacked, and never beyond a limit; of the weights only the
headers are read, through a view of the place where they lie in the archive.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from costlens.errors import InputError
from costlens.frontends.hdf5 import DAMAGED, headers, opened
from costlens.frontends.held import Held

MAX_CONFIG = 16 * 2**20
_MAX_METADATA = 2**16
_MAX_DIRECTORY = 2**22
_MAX_END = 2**16 + 22
_WEIGHTS = "model.weights.h5"
_LOCAL_HEADER = 30


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
        with open(path, "rb") as file, _zip(file, where) as archive:
            config = _member(archive, "config.json", MAX_CONFIG, where)
            metadata = _member(archive, "metadata.json", _MAX_METADATA, where)
            if config is None or metadata is None:
                absent = "config.json" if config is None else "metadata.json"
                raise InputError(where, f"holds no {absent}", "Save the model with Keras 3.")
            return Archive(config, metadata, *_weights(file, archive, where))
    except OSError as error:
        raise InputError(where, f"cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        what = f"is no whole .keras archive ({str(error)[:100]})"
        raise InputError(where, what, DAMAGED) from error


def _zip(file: BufferedReader, where: str) -> zipfile.ZipFile:
    """The archive; its directory, which is read as a whole, must not be a bomb."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - _MAX_END))
    end = file.read()
    at = end.rfind(b"PK\x05\x06")
    if at >= 0 and int.from_bytes(end[at + 12 : at + 16], "little") > _MAX_DIRECTORY:
        raise InputError(where, "lists more members than any .keras archive has")
    return zipfile.ZipFile(file)


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


def _weights(file: BufferedReader, archive: zipfile.ZipFile, where: str) -> tuple[Held | None, str]:
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
    with opened(_View(file, start, info.file_size), f"{where}/{_WEIGHTS}") as h5:
        return headers(h5, f"{where}/{_WEIGHTS}", "layers").merged(), ""


class _View:
    """A part of a file, as a file that HDF5 reads."""

    def __init__(self, file: BufferedReader, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; as in any file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as far as this part goes."""
        left = max(0, self._size - self._at)
        buffer = bytearray(left if size < 0 else min(size, left))
        del buffer[self.readinto(buffer) :]
        return bytes(buffer)

    def readinto(self, buffer: bytearray) -> int:
        """Fill the buffer as far as this part goes."""
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        count = self._file.readinto(buffer if len(buffer) <= left else memoryview(buffer)[:left])
        self._at += count
        return count
