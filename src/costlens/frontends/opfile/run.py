"""Run an op-graph file through the handlers of its format, at concrete sizes: file → Graph."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.layercall import Layer, PartialShape, ProgramInput, Tensor
from costlens.frontends.lowering.build import Builder, Unreadable
from costlens.frontends.opfile.model import SMALL, Array, FileGraph, FileOp, FileTensor
from costlens.frontends.opfile.names import Namer, input_name, printable
from costlens.frontends.opfile.site import Fold, Handler, Made, Site, Value
from costlens.frontends.sizes import InputShape, settle
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.types import Shape, TensorType

Env = ChainMap[str, Value | FileTensor]
"""Values by their ids in the file, constants as they stand there until something reads them: a
graph's own, and those of the graphs around it."""

Control = Callable[["Runner", "Scene"], Sequence[Value]]

_DEEPEST = 16
_MOST_OPS = 50_000
_MOST_NODES = 200_000
_MOST_BYTES = 2**60
_MOST_TAPS = 2**16
_MOST_AXES = 32


@dataclass(frozen=True, slots=True)
class Dialect:
    """A file format: how its operators are lowered, folded, or run as control flow."""

    name: str
    handlers: Mapping[str, Handler]
    folds: Mapping[str, Fold]
    control: Mapping[str, Control] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """An operator that runs subgraphs: its values, and all that its subgraphs may see."""

    op: FileOp
    values: tuple[Value | None, ...]
    env: Env
    path: str


def lower(
    file: FileGraph,
    dialect: Dialect,
    batch: int | None,
    input_shape: InputShape,
    dims: Mapping[str, int] | None,
    notes: Sequence[str] = (),
) -> Graph:
    """The graph of a file at the sizes asked for; every value checked against the file's own."""
    declared = [_input(file, at, name) for at, name in enumerate(file.inputs)]
    types, resized = settle(declared, batch, input_shape)
    b = Builder(file.name)
    for path in dims or ():
        raise InputError(f"--dim {path}", f"{dialect.name} files have no layer that takes one")
    for text in notes:
        b.note(text)
    inputs = []
    for given, type_ in zip(declared, types, strict=True):
        check_size(given.name, type_)
        with b.open_row(Layer("layer:InputLayer", given.name, {}, ("input", given.name))):
            inputs.append(b.emit("input", (), shape=type_.shape, dtype=type_.dtype))
    runner = Runner(b, dialect, resized, Namer(op.name for op in file.ops))
    outputs = runner.graph(file, [Value(x.type, x) for x in inputs])
    return check(b.graph(inputs, [runner.tensor(value) for value in outputs]))


def _input(file: FileGraph, at: int, name: str) -> ProgramInput:
    tensor = file.tensors.get(name)
    if tensor is None or tensor.shape is None:
        raise InputError(f"input {printable(name)}", "the file does not say its shape")
    return ProgramInput(at, input_name(tensor.name), tensor.shape, tensor.dtype)


def check_size(where: str, type_: TensorType) -> None:
    """Refuse a tensor that no machine holds."""
    if type_.rank > _MOST_AXES or min(type_.shape, default=0) < 0 or type_.nbytes > _MOST_BYTES:
        raise InputError(printable(where), "its size is beyond any machine", "Check the file.")


class Runner:
    """Interprets graphs of operators; lives for one reading."""

    def __init__(self, b: Builder, dialect: Dialect, resized: bool, namer: Namer) -> None:
        self.b, self.dialect, self.resized, self.namer = b, dialect, resized, namer
        self.depth = self.count = 0

    def graph(
        self, graph: FileGraph, inputs: Sequence[Value], outer: Env | None = None
    ) -> list[Value]:
        """The outputs of a graph on these inputs; it may read the values around it."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise InputError(graph.name, "its subgraphs are nested too deep", "Check the file.")
        env: Env = ChainMap({}, *(outer.maps if outer else ()))
        env.update((name, x) for name, x in graph.tensors.items() if x.key is not None)
        env.update(zip(graph.inputs, inputs, strict=False))
        for op in graph.ops:
            self.count += 1
            if self.count > _MOST_OPS or len(self.b.nodes) > _MOST_NODES:
                raise InputError(graph.name, f"it runs more than {_MOST_OPS:,} operators")
            self._run(graph, op, env)
        self.depth -= 1
        return [self._value(name, env, "the graph") for name in graph.outputs]

    def _value(self, name: str, env: Env, reader: str) -> Value:
        """A value by its id: made in this graph, held by it, or one of those around it."""
        found = env.get(name)
        if found is None:
            raise InputError(
                reader, f"reads {printable(name)}, which nothing has made", "Check the file."
            )
        if isinstance(found, FileTensor):
            found = env[name] = constant(found)
        return found

    def _run(self, graph: FileGraph, op: FileOp, env: Env) -> None:
        """One operator: folded where its result is known, else lowered as a row."""
        path = self.namer.path(op.name, op.kind, self.b.scope)
        values = tuple([self._value(n, env, path) if n else None for n in op.inputs])
        declared = tuple([_declared(graph, name) for name in op.outputs])
        site = Site(self.b, op, values, declared, self.resized)
        if op.kind in self.dialect.control:
            made = self._control(Scene(op, values, env, path), site)
        else:
            folded = self._fold(site, path)
            made = [folded] if folded is not None else self._row(site, path)
        if len(made) < len(op.outputs):
            raise InputError(path, f"{op.kind} has {len(op.outputs)} outputs, read as {len(made)}")
        for name, value in zip(op.outputs, made, strict=False):
            if name:
                if isinstance(env.maps[0].get(name), Value):
                    raise InputError(path, f"makes {printable(name)} again", "Check the file.")
                env[name] = value

    def _control(self, scene: Scene, site: Site) -> list[Value]:
        """An operator that runs subgraphs; a row of its own where that cannot be read."""
        start, depth = len(self.b.nodes), self.depth
        try:
            return list(self.dialect.control[scene.op.kind](self, scene))
        except Unreadable as reason:
            del self.b.nodes[start:]
            self.depth = depth
            return self._row(site, scene.path, str(reason))
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise _broken(scene.path, scene.op, error) from error

    def _fold(self, site: Site, path: str) -> Value | None:
        fold = self.dialect.folds.get(site.op.kind)
        if fold is None or len(site.op.outputs) != 1:
            return None
        try:
            known = fold(site)
        except Unreadable:
            return None
        except Exception as error:
            raise _broken(path, site.op, error) from error
        if isinstance(known, Value):
            return known
        if known is None or known.size > SMALL:
            return None
        dtype = site.declared[0][1] or str(known.dtype)
        return Value(TensorType(known.shape, dtype), None, ("known", path, self.count), known)

    def _row(self, site: Site, path: str, unread: str = "") -> list[Value]:
        """Lower one operator as a row of its own, under the containers of its name.

        ``unread`` says why it is not read, where that is known already.
        """
        *scope, name = path.split("/")
        b = self.b
        with b.scoped(*scope), b.open_row(Layer(f"op:{site.op.kind}", name, {}, path)) as row:
            start = len(b.nodes)
            try:
                made = unknown(site, unread) if unread else self._lowered(site)
            except Unreadable as reason:
                del b.nodes[start:]
                made = unknown(site, str(reason))
            except CostlensError:
                raise
            except Exception as error:  # whatever the file's sizes and settings break
                raise _broken(path, site.op, error) from error
            made = self._own(site, made, start)
            for x in made:
                check_size(path, x.type)
            self._check(site, path, made)
            b.returns[row.origin] = tuple(x.id for x in made)
        return [Value(x.type, x) for x in made]

    def _lowered(self, site: Site) -> list[Tensor]:
        handler = self.dialect.handlers.get(site.op.kind)
        if handler is None:
            raise Unreadable(f"{site.op.kind} is no operator that is read")
        made: Made = handler(site)
        return [made] if isinstance(made, Tensor) else list(made)

    def _own(self, site: Site, made: list[Tensor], start: int) -> list[Tensor]:
        """What a row returns is its own: a view of what it was given, where it made nothing."""
        b = self.b
        own = {value for node in b.nodes[start:] for value in node.outputs}
        return [x if x.id in own else b.identity(x) for x in made]

    def _check(self, site: Site, path: str, made: Sequence[Tensor]) -> None:
        for node in self.b.nodes[-4:]:
            if node.op in ("conv", "conv_transpose"):
                taps = self.b.values[node.operands[1]].shape[:-2]
                if max(taps, default=0) > _MOST_TAPS:
                    raise InputError(path, "its kernel is beyond any machine", "Check the file.")
        if self.resized:
            return
        for x, (shape, dtype) in zip(made, site.declared, strict=False):
            if (shape is not None and not fits(x.shape, shape)) or dtype not in ("", x.dtype):
                said = "any shape" if shape is None else list(shape)
                raise InputError(
                    path,
                    f"{site.op.kind} is read as {x.type}, and the file says {dtype} {said}",
                    "Please report this model.",
                )

    def tensor(self, value: Value) -> Tensor:
        """A value as a tensor outside any row."""
        if value.tensor is not None:
            return value.tensor
        b = self.b
        with b.open_row(Layer("op:Constant", self.namer.path("constant", ""), {}, value.key)):
            return b.identity(Site(b, FileOp("", "", (), ()), (value,), ()).x())


def unknown(site: Site, reason: str) -> list[Tensor]:
    """A row that is not read: its parameters and outputs count, as the file declares them."""
    reason = printable(reason)
    batch = next((v.type.shape[:1] for v in site.values if v is not None and v.type.rank), ())
    types = []
    for shape, dtype in site.declared:
        sizes = None if shape is None else [*batch, *shape[1:]] if _open_first(shape) else shape
        if sizes is None or None in sizes or site.resized or not dtype:
            raise InputError(
                "/".join(site.b.scope),
                f"{site.op.kind} is not read ({reason}), and what it returns is not known",
                "Leave the file's own sizes as they are, or store the inferred shapes in it.",
            )
        types.append(TensorType(tuple(n or 0 for n in sizes), dtype))
    return list(site.b.unknown(reason, site.xs(), types))


def _open_first(shape: PartialShape) -> bool:
    return bool(shape) and shape[0] is None


def fits(found: Shape, declared: PartialShape) -> bool:
    """Whether a shape is what was declared, where something was."""
    return len(found) == len(declared) and all(
        n is None or n == m for n, m in zip(declared, found, strict=True)
    )


def constant(tensor: FileTensor) -> Value:
    """A constant of the file as a value, its numbers looked at where they are few."""
    shape = tuple(n or 0 for n in tensor.shape or ())
    type_ = TensorType(shape, tensor.dtype)
    check_size(tensor.name, type_)
    known: Array | None = tensor.load() if tensor.load and type_.size <= SMALL else None
    return Value(type_, None, tensor.key, known, tensor.real)


def _declared(graph: FileGraph, name: str) -> tuple[PartialShape | None, str]:
    tensor = graph.tensors.get(name)
    return (None, "") if tensor is None else (tensor.shape, tensor.dtype)


def _broken(path: str, op: FileOp, error: Any) -> InputError:
    text = printable(str(error)) or type(error).__name__
    return InputError(
        path,
        f"{op.kind} could not be read: {text}",
        "Check the file and the sizes; if they are right, please report this model.",
    )
