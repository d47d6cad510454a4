"""Text attributes of an HDF5 file as a whole, by the file's format.

HDF5's own code goes in circles on a damaged heap of texts, and allocates what a file says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from io import BufferedReader

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CONTINUED, _ATTRIBUTE = 0x10, 0x0C
_TEXT, _TEXT_IN_HEAP = 3, 9
_MAX_CHUNKS = 100
_MAX_CHUNK = 2**20

Message = tuple[int, bytes]


def texts(file: BufferedReader, names: Collection[str], limit: int) -> Mapping[str, bytes]:
    """Those of these attributes that are there and are text of at most ``limit`` bytes.

    Raises ValueError where the file is no HDF5 file or is damaged.
    """
    found = {}
    for kind, data in _messages(file, _root(file)):
        if kind == _ATTRIBUTE:
            name, type_, value = _attribute(data)
            if name in names:
                text = _text(file, type_, value, limit)
                if text is not None:
                    found[name] = text
    return found


def _at(file: BufferedReader, at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise ValueError("it is cut off")
    return data


def _int(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _root(file: BufferedReader) -> int:
    """Where the header of the root group is."""
    head = _at(file, 0, 48)
    version = head[8]
    if head[:8] != SIGNATURE or version > 3 or head[13 if version < 2 else 9] != 8:
        raise ValueError("it is not in a format of HDF5 that is known")
    if version >= 2:
        return _int(head, 36, 8)
    return _int(_at(file, 64 + 4 * version, 8), 0, 8)


def _messages(file: BufferedReader, at: int) -> Iterator[Message]:
    """The messages of an object's header, of either version, chunk by chunk."""
    start = _at(file, at, 16)
    newer = start[:4] == b"OHDR"
    if newer:
        flags = start[5]
        head = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        chunks = [(at + head + width, _int(_at(file, at + head, width), 0, width))]
        head = 4 + 2 * bool(flags & 4)
    else:
        chunks, head = [(at + 16, _int(start, 8, 4))], 8
    done = 0
    while chunks:
        done += 1
        at, size = chunks.pop(0)
        if done > _MAX_CHUNKS or size > _MAX_CHUNK:
            raise ValueError("its header is too large")
        data, place = _at(file, at, size), 0
        while place + head <= size:
            kind = data[place] if newer else _int(data, place, 2)
            length = _int(data, place + (1 if newer else 2), 2)
            body = data[place + head : place + head + length]
            place += head + length
            if kind == _CONTINUED:
                more, size_of = _int(body, 0, 8), _int(body, 8, 8)
                # newer chunks stand between a signature and a checksum
                chunks.append((more + 4, size_of - 8) if newer else (more, size_of))
            else:
                yield kind, body


def _attribute(data: bytes) -> tuple[str, bytes, bytes]:
    """An attribute's name, its type and its value."""
    version, step = data[0], 8 if data[0] == 1 else 1
    at, parts = 8 + (version == 3), []
    for size in (_int(data, 2, 2), _int(data, 4, 2), _int(data, 6, 2)):
        parts.append(data[at : at + size])
        at += -(-size // step) * step
    name, type_, space = parts
    scalar = len(space) > 1 and space[1] == 0
    return name.rstrip(b"\0").decode("utf-8", "replace"), type_ if scalar else b"", data[at:]


def _text(file: BufferedReader, type_: bytes, value: bytes, limit: int) -> bytes | None:
    """A text that stands in the attribute, or in a heap that it points to."""
    kind = type_[0] & 0x0F if type_ else None
    if kind == _TEXT:
        return value[: _int(type_, 4, 4)].rstrip(b"\0")
    if kind != _TEXT_IN_HEAP or _int(value, 0, 4) > limit:
        return None
    length, heap, wanted = _int(value, 0, 4), _int(value, 4, 8), _int(value, 12, 4)
    head = _at(file, heap, 16)
    if head[:4] != b"GCOL" or _int(head, 8, 8) > limit + 2**16:
        raise ValueError("a text of it is lost")
    at, end = heap + 16, heap + _int(head, 8, 8)
    while at + 16 <= end:
        item = _at(file, at, 16)
        index, size = _int(item, 0, 2), _int(item, 8, 8)
        if index == wanted:
            return _at(file, at + 16, min(length, size))
        if not index:
            break
        at += 16 + -(-size // 8) * 8
    raise ValueError("a text of it is lost")
