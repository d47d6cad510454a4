"""The file: FlatBuffers tables → operators over named tensors, subgraphs read when needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from costlens.frontends.layercall import PartialShape
from costlens.frontends.opfile.model import Array, FileGraph, FileOp, FileTensor
from costlens.frontends.opfile.parts import safe
from costlens.frontends.opfile.reading import Budget, Malformed, mapped
from costlens.frontends.opfile.run import lower
from costlens.frontends.opfile.site import real
from costlens.frontends.sizes import InputShape
from costlens.frontends.tflite_file.dialect import DIALECT
from costlens.frontends.tflite_file.flatbuffer import Source, Table
from costlens.frontends.tflite_file.lists import joined
from costlens.frontends.tflite_file.options import DTYPES, INT4, KINDS, attributes
from costlens.ir.graph import Graph
from costlens.ir.types import ITEMSIZE

_MAGIC = b"TFL3"
_MOST_AXES = 32


def read_tflite(
    path: str | Path,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
) -> Graph:
    """The graph of a .tflite file; nothing in it is run, and no weight is read.

    Raises InputError where the file is none, or breaks its format.
    """
    path = Path(path)
    with mapped(path, "TensorFlow Lite") as data:
        if bytes(data[4:8]) != _MAGIC:
            raise Malformed("it does not begin with TFL3")
        model = _Model(data, path.stem)
        return lower(model.graph(0), DIALECT, batch, input_shape, dims, model.notes)


class _Model:
    """Reads the subgraphs of a file, each once."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.source = Source(data, Budget())
        root = self.source.root()
        self.name = name
        self.codes = [_kind(code) for code in root.tables(1)]
        self.subgraphs = list(root.tables(2))
        self.buffers = list(root.tables(4))
        self.read: dict[int, FileGraph] = {}
        self.notes: list[str] = []

    def graph(self, index: int) -> FileGraph:
        """A subgraph by its number; raises Malformed where there is none."""
        if not 0 <= index < len(self.subgraphs):
            raise Malformed(f"it has no subgraph {index}")
        if index not in self.read:
            self.read[index] = self._graph(index)
        return self.read[index]

    def _graph(self, index: int) -> FileGraph:
        table = self.subgraphs[index]
        tensors = {
            f"{index}:{at}": self._tensor(tensor, index, at)
            for at, tensor in enumerate(table.tables(0))
        }

        def ids(numbers: tuple[int, ...]) -> tuple[str, ...]:
            if max(numbers, default=-1) >= len(tensors):
                raise Malformed("it names a tensor that it does not have")
            return tuple(["" if n < 0 else f"{index}:{n}" for n in numbers])

        ops = []
        for operator in table.tables(3):
            inputs, outputs = ids(operator.numbers(1)), ids(operator.numbers(2))
            kind = self._code(operator.whole(0, "I"))
            name = tensors[outputs[0]].name if outputs and outputs[0] else ""
            ops.append(FileOp(kind, name, inputs, outputs, self._attributes(kind, operator)))
        name = self.name if index == 0 else table.text(4) or f"subgraph {index}"
        inputs, outputs = ids(table.numbers(1)), ids(table.numbers(2))
        return FileGraph(name, inputs, outputs, tuple(joined(ops, tensors)), tensors)

    def _code(self, index: int) -> str:
        if index >= len(self.codes):
            raise Malformed("it names an operator that it does not declare")
        return self.codes[index]

    def _attributes(self, kind: str, operator: Table) -> dict[str, Any]:
        """The options of an operator; a subgraph is read when it is run."""
        found = attributes(kind, operator)
        for name in ("cond", "body", "then", "else"):
            if name in found:
                found[name] = partial(self.graph, found[name])
        return found

    def _tensor(self, table: Table, graph: int, at: int) -> FileTensor:
        number = table.whole(1, "b")
        if not 0 <= number < len(DTYPES):
            raise Malformed(f"it has a tensor of an unknown dtype, number {number}")
        dtype, shape = DTYPES[number], table.numbers(0)
        if len(shape) > _MOST_AXES or min(shape, default=0) < 0:
            raise Malformed("it has a tensor of an impossible shape")
        name = table.text(3) or f"tensor {at}"
        quantised = table.table(4)
        scaled = quantised is not None and quantised.vector(2, 4)[1] > 0
        if number == INT4:
            note = "int4 tensors are read as int8: their bytes are twice what the file stores."
            self.notes = [note]
        found = self._data(table.whole(2, "I"))
        if found is None:
            return self._activation(table, (graph, at), name, shape, dtype)
        start, size = found
        packed = (prod(shape) + 1) // 2 if number == INT4 else prod(shape) * ITEMSIZE[dtype]
        if dtype != "string" and packed != size and table.table(6) is None:
            raise Malformed(f"{name} has {size:,} bytes of data, and its shape takes {packed:,}")
        plain = number != INT4 and safe(dtype) and table.table(6) is None
        load = partial(self._load, start, size, dtype, shape) if plain else None
        return FileTensor(
            name, shape, dtype, ("buffer", table.whole(2, "I")), load, real(dtype, scaled)
        )

    def _activation(
        self, table: Table, key: tuple[int, int], name: str, shape: tuple[int, ...], dtype: str
    ) -> FileTensor:
        """A tensor without data: an operator's output, a state, or a constant of no elements.

        A shape of no axes may be unknown, in files that do not say which tensors have a rank.
        """
        signature = table.numbers(7)
        sizes: PartialShape | None = shape
        if len(signature) == len(shape):
            sizes = tuple([None if n < 0 else n for n in signature])
        if not shape and not table.whole(8, "?"):
            sizes = None
        held = bool(table.whole(5, "?")) or 0 in shape
        load = partial(np.zeros, shape, dtype) if shape == (0,) and safe(dtype) else None
        return FileTensor(name, sizes, dtype, ("state", key) if held else None, load)

    def _data(self, buffer: int) -> tuple[int, int] | None:
        """Where the data of a buffer are, and how many bytes; None where it has none."""
        if buffer >= len(self.buffers):
            raise Malformed("it names a buffer that it does not have")
        table = self.buffers[buffer]
        start, size = table.vector(0, 1)
        if size == 0 and (outside := table.whole(1, "Q")) > 1:
            start, size = outside, table.whole(2, "Q")
            self.source.need(start, size)
        return (start, size) if size else None

    def _load(self, start: int, size: int, dtype: str, shape: tuple[int, ...]) -> Array:
        raw = bytes(self.source.data[start : start + size])
        return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _kind(code: Table) -> str:
    number = max(code.whole(0, "b"), code.whole(3, "i"))
    kind = KINDS[number] if 0 <= number < len(KINDS) else f"operator {number}"
    return code.text(1) or kind if kind == "CUSTOM" else kind
