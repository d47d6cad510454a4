"""What a reader of an op-graph file produces: operators over named tensors, free of its format."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from costlens.frontends.layercall import PartialShape

Array = NDArray[Any]

SMALL = 4096
"""The most elements of a constant whose values are looked at: shapes, axes, paddings."""


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A tensor as the file declares it; ``shape`` is None where the file says nothing.

    A constant has a ``key``, its identity in the file, and ``load`` gives its values, where they
    are few and present. ``real`` says that it stands for real numbers: floats, or quantised
    integers with a scale.
    """

    name: str
    shape: PartialShape | None
    dtype: str
    key: Hashable = None
    load: Callable[[], Array | None] | None = None
    real: bool = False


@dataclass(frozen=True, slots=True)
class FileOp:
    """One operator: ``inputs`` and ``outputs`` are tensor ids, "" where one is left out."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileGraph:
    """A graph of operators in execution order; a subgraph sees the tensors around it by id."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[FileOp, ...]
    tensors: Mapping[str, FileTensor]
