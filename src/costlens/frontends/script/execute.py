"""Runs the script's own code, and the modules beside it, under a guard."""

from __future__ import annotations

import ast
import importlib
import os
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.script.guard import Guard, TimeUp
from costlens.frontends.script.log import Log, absolute, described
from costlens.frontends.script.patches import Patches
from costlens.frontends.script.source import parsed
from costlens.frontends.script.statements import GUARD, instrumented
from costlens.frontends.target import Target


def run_file(path: Path, name: str, guard: Guard | None, log: Log) -> Mapping[str, Any]:
    """The names of a script that has run under ``name``; unguarded, it runs as it is."""
    source = parsed(path)
    tree = source.tree
    if source.said:
        log.say(source.said, where=str(path))
    file = absolute(str(path))
    log.own(file, str(path), source.cells)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)):
        module.__package__ = _package(Path(file).parent)
    try:
        code = compile(instrumented(tree) if guard else tree, file, "exec")
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        message = getattr(error, "msg", None) or str(error)
        raise InputError(where, f"{type(error).__name__}: {message}", "Fix the script.") from error
    module.__dict__[GUARD] = guard
    if guard is not None:
        guard.opened(path.read_bytes())
    outer = sys.modules.get(name)
    sys.modules[name] = module
    try:
        _exec(code, module, guard, log)
    finally:
        sys.modules.pop(name, None)
        if outer is not None:
            sys.modules[name] = outer
    return module.__dict__


def _exec(code: Any, module: types.ModuleType, guard: Guard | None, log: Log) -> None:
    try:
        exec(code, module.__dict__)
    except SystemExit as error:
        if guard is None and error.code not in (None, 0):
            raise
    except KeyboardInterrupt:
        raise
    except TimeUp:
        if guard is None:
            raise
        guard.timed_out = True
        log.say(
            "stopped by its time limit; what it had made until then is read",
            "",
            str(module.__file__),
        )
    except BaseException as error:  # one that no guard catches ends the script
        if guard is None:
            raise
        guard.ended(error)


def _package(folder: Path) -> str:
    """A package made of the script's folder, in one of its parent, for relative imports."""
    outer, inner = (part.name.replace(".", "_") or "_" for part in (folder.parent, folder))
    for name, path in ((outer, folder.parent), (f"{outer}.{inner}", folder)):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [str(path)]
            sys.modules[name] = package
    return f"{outer}.{inner}"


def import_module(target: Target, log: Log) -> Mapping[str, Any]:
    """The names of an importable module."""
    with blamed(target, log):
        try:
            return vars(importlib.import_module(str(target.module)))
        except ModuleNotFoundError as error:
            if not f"{target.module}.".startswith(f"{error.name}."):
                raise
            fix = "Check the name, and that it is installed."
            raise InputError("", str(error), fix) from error


@contextmanager
def blamed(target: Target, log: Log) -> Iterator[None]:
    """Whatever the user's code raises becomes an InputError with its own line."""
    try:
        yield
    except (KeyboardInterrupt, TimeUp):
        raise
    except BaseException as error:  # SystemExit too
        raise _raised(error, target, log) from error


def _raised(error: BaseException, target: Target, log: Log) -> CostlensError:
    where = log.raised_at(error) or target.where
    if target.module is not None:
        base = target.module.replace(".", os.sep)
        files = (f"{os.sep}{base}.py", os.path.join(os.sep + base, "__init__.py"))
        trace = error.__traceback__
        while trace is not None:
            name = trace.tb_frame.f_code.co_filename
            where = f"{name}:{trace.tb_lineno}" if name.endswith(files) else where
            trace = trace.tb_next
    return failure(error, where, bool(target.path))


def failure(error: BaseException, where: str, is_script: bool = True) -> CostlensError:
    """What a script's error is to the user."""
    if isinstance(error, CostlensError):
        return InputError(where, error.what, error.fix)
    fix = "The script has to run up to where its model is built." if is_script else ""
    return InputError(where, described(error), fix)


@contextmanager
def beside(folders: Sequence[str], guard: Guard, log: Log) -> Iterator[None]:
    """Modules that lie in the script's folder are the user's own, and run guarded as it does."""
    finder = _Finder([absolute(folder) for folder in folders], guard, log)
    before = set(sys.modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if isinstance(getattr(sys.modules[name], "__loader__", None), _Loader):
                del sys.modules[name]


class _Finder(MetaPathFinder):
    def __init__(self, folders: Sequence[str], guard: Guard, log: Log) -> None:
        self.folders, self.guard, self.log = folders, guard, log

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path)
        if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
            return None
        origin = absolute(str(spec.origin))
        own = any(origin.startswith(folder + os.sep) for folder in self.folders)
        if not own or "site-packages" in origin or f"{os.sep}costlens{os.sep}" in origin:
            return None
        spec.loader = _Loader(name, origin, self.guard, self.log)
        return spec


class _Loader(SourceFileLoader):
    """Compiles a module guarded, and leaves no byte code behind."""

    def __init__(self, name: str, path: str, guard: Guard, log: Log) -> None:
        super().__init__(name, path)
        self.guard, self.log = guard, log

    def exec_module(self, module: types.ModuleType) -> None:
        path = Path(self.path)
        tree = parsed(path).tree
        self.log.own(self.path, os.path.relpath(self.path))
        module.__dict__[GUARD] = self.guard
        self.guard.opened(path.read_bytes())
        exec(compile(instrumented(tree), self.path, "exec"), module.__dict__)


@contextmanager
def importable(folders: Sequence[str], arguments: Sequence[str]) -> Iterator[None]:
    """The script's folder is importable, and it sees these command-line arguments."""
    patches = Patches()
    patches.set(sys, "argv", list(arguments))
    patches.set(sys, "dont_write_bytecode", True)
    before = list(sys.path)
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    try:
        yield
    finally:
        sys.path[:] = before
        patches.undo()
