"""The file: protobuf messages → operators over named tensors, subgraphs and functions with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from costlens.frontends.onnx_file.dialect import DIALECT
from costlens.frontends.onnx_file.tensors import constant, declared
from costlens.frontends.onnx_file.wire import Message, Span
from costlens.frontends.opfile.model import FileGraph, FileOp, FileTensor
from costlens.frontends.opfile.names import printable
from costlens.frontends.opfile.reading import Budget, Malformed, mapped
from costlens.frontends.opfile.run import lower
from costlens.frontends.sizes import InputShape
from costlens.ir.graph import Graph

_OWN = ("", "ai.onnx")
_DEEPEST = 16
Attributes = Mapping[str, Any]


def read_onnx(
    path: str | Path,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
) -> Graph:
    """The graph of an .onnx file; nothing in it is run, and no weight is read.

    Raises InputError where the file is none, or breaks its format.
    """
    path = Path(path)
    with mapped(path, "ONNX") as data:
        model = _Model(Span(data, 0, len(data), Budget()))
        graph = replace(model.main(), name=path.stem)
        return lower(graph, DIALECT, batch, input_shape, dims)


class _Model:
    """Reads graphs; every stored tensor has a number of its own."""

    def __init__(self, span: Span) -> None:
        self.root = span.message()
        self.count = self.depth = 0
        self.opset = 1
        for one in self.root.spans(8):
            message = one.message()
            if message.text(1) in _OWN:
                self.opset = message.whole(2)
        self.functions: dict[str, Message] = {}
        for one in self.root.spans(25):
            message = one.message()
            self.functions[_kind(message.text(10), message.text(1))] = message

    def main(self) -> FileGraph:
        """The graph that the model is."""
        span = self.root.span(7)
        if span is None:
            raise Malformed("it has no graph")
        return self.graph(span, {})

    def graph(self, span: Span, bound: Attributes) -> FileGraph:
        """A graph, ``bound`` the attributes of the function that it stands in."""
        message = span.message()
        tensors: dict[str, FileTensor] = {}
        for number in (11, 12, 13):
            for one in message.spans(number):
                if (tensor := declared(one)) is not None:
                    tensors[tensor.name] = tensor
        inputs = [one.message().text(1) for one in message.spans(11)]
        for one in message.spans(5):
            self._constant(one, one.message().text(8), tensors)
        for one in message.spans(15):
            self._sparse(one, tensors)
        ops = self._ops(message.spans(1), tensors, bound)
        given = (
            tuple(name for name in inputs if tensors[name].key is None)
            if all(name in tensors for name in inputs)
            else self._no_tensor(inputs, tensors)
        )
        outputs = tuple(one.message().text(1) for one in message.spans(12))
        return FileGraph(printable(message.text(2)), given, outputs, ops, tensors)

    def _no_tensor(self, inputs: list[str], tensors: Mapping[str, FileTensor]) -> tuple[str, ...]:
        missing = next(name for name in inputs if name not in tensors)
        raise Malformed(f"its input {printable(missing)} is no tensor")

    def _constant(self, span: Span, name: str, tensors: dict[str, FileTensor]) -> None:
        self.count += 1
        tensors[name] = constant(span, ("initializer", self.count), name)

    def _sparse(self, span: Span, tensors: dict[str, FileTensor]) -> None:
        """A sparse tensor: its shape, and the name and dtype of its values."""
        message = span.message()
        values = message.span(1)
        if values is None:
            raise Malformed("it has a sparse tensor without values")
        self.count += 1
        held = constant(values, ("initializer", self.count))
        tensors[values.message().text(8)] = replace(held, shape=message.wholes(3), load=None)

    def _ops(
        self, spans: list[Span], tensors: dict[str, FileTensor], bound: Attributes
    ) -> tuple[FileOp, ...]:
        ops = []
        for one in spans:
            message = one.message()
            kind = _kind(message.text(7), message.text(4))
            outputs = message.texts(2)
            attrs = self._attributes(message, bound)
            if kind == "Constant" and len(outputs) == 1 and outputs[0]:
                tensors[outputs[0]] = self._held(outputs[0], attrs)
                continue
            attrs["opset"] = self.opset
            if kind in self.functions:
                attrs["body"] = partial(self.function, kind, dict(attrs))
                kind = "Function"
            name = message.text(3) or next(iter(outputs), "")
            ops.append(FileOp(kind, name, message.texts(1), outputs, attrs))
        return tuple(ops)

    def function(self, kind: str, attrs: Attributes) -> FileGraph:
        """A function of the model, as it is called with these attributes."""
        message = self.functions[kind]
        bound = dict(attrs)
        for one in message.spans(11):
            name, value = self._attribute(one, {})
            bound.setdefault(name, value)
        tensors: dict[str, FileTensor] = {}
        for one in message.spans(12):
            if (tensor := declared(one)) is not None:
                tensors[tensor.name] = tensor
        ops = self._ops(message.spans(7), tensors, bound)
        return FileGraph(printable(kind), message.texts(4), message.texts(5), ops, tensors)

    def _attributes(self, node: Message, bound: Attributes) -> dict[str, Any]:
        found = dict(self._attribute(one, bound) for one in node.spans(5))
        return {name: value for name, value in found.items() if value is not None}

    def _attribute(self, span: Span, bound: Attributes) -> tuple[str, Any]:
        message = span.message()
        name, reference = message.text(1), message.text(21)
        if reference:
            return name, bound.get(reference)
        values = message.values
        if 5 in values or 10 in values:
            self.count += 1
            found: Any = constant(message.spans(5 if 5 in values else 10)[-1], ("attr", self.count))
        elif 6 in values:
            found = partial(self.graph, message.spans(6)[-1], bound)
        elif 2 in values:
            found = message.floats(2)[-1]
        elif 3 in values:
            found = message.whole(3)
        elif 4 in values:
            found = message.text(4)
        elif 7 in values:
            found = message.floats(7)
        elif 9 in values:
            found = message.texts(9)
        else:
            found = _unset(message)
        return name, found

    def _held(self, name: str, attrs: Attributes) -> FileTensor:
        """What a Constant node holds."""
        value = attrs.get("value")
        if isinstance(value, FileTensor):
            return replace(value, name=printable(name))
        self.count += 1
        for attr, dtype in _PLAIN.items():
            if attr in attrs:
                known = np.array(attrs[attr], dtype)
                key = ("constant", self.count)
                return FileTensor(printable(name), known.shape, dtype, key, partial(_same, known))
        raise Malformed(f"{printable(name)} is a constant of a kind that is not read")


_PLAIN = {
    "value_float": "float32",
    "value_floats": "float32",
    "value_int": "int64",
    "value_ints": "int64",
}


def _unset(message: Message) -> Any:
    """A number that is 0 may be left out; else a list of whole numbers, empty or not."""
    return {1: 0.0, 2: 0, 3: ""}.get(message.whole(20), message.wholes(8))


def _same(known: Any) -> Any:
    return known


def _kind(domain: str, name: str) -> str:
    return printable(name if domain in _OWN else f"{domain}.{name}")
