"""Rewrites a script so that a statement that fails is skipped, and no loop runs for long.

What the script means stays: an error that its own ``try`` handles reaches it, a ``return`` that
fails leaves its function, methods of layers and models fail as a whole. What a skipped statement
would have assigned is lost with it, so that nothing is built on an older value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any, TypeVar

_Node = TypeVar("_Node", bound=ast.AST)

GUARD = "__costlens__"
_PLAIN = (ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal, ast.Return)
_DEEPEST = 19  # Python allows 20 blocks in one another


def instrumented(tree: ast.Module) -> ast.Module:
    """The module, guarded; ``GUARD`` is the name under which it finds its guard."""
    body = _Writer().body(tree.body, 0)
    return ast.fix_missing_locations(ast.Module(body, tree.type_ignores))


class _Writer:
    """Writes statements anew; ``depth`` is how many blocks stand around them."""

    def __init__(self) -> None:
        self._heights: dict[ast.stmt, int] = {}

    def body(self, statements: Iterable[ast.stmt], depth: int) -> list[ast.stmt]:
        return [new for old in statements for new in self.statement(old, depth)]

    def statement(self, old: ast.stmt, depth: int) -> list[ast.stmt]:
        if isinstance(old, _PLAIN) or _is_header(old):
            return [old]
        write = getattr(self, f"_{type(old).__name__.lower()}", None)
        guard = depth + 1 + self._height(old) <= _DEEPEST
        new = write(old, depth + guard) if write else old
        before = []
        if isinstance(old, ast.While):
            before = [ast.Expr(_call("begin", ast.Constant(old.lineno)))]
        for each in before:
            ast.copy_location(each, old)
        return [*before, self._guarded(new, old)] if guard else [*before, new]

    def _height(self, old: ast.stmt) -> int:
        """How many blocks stand within one another in a statement, those of guards left out."""
        if isinstance(old, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return 0
        if old not in self._heights:
            own = 3 if isinstance(old, ast.Try) else 0 if isinstance(old, ast.If) else 1
            inner = _inner(old)
            self._heights[old] = (own if inner else 0) + max(map(self._height, inner), default=0)
        return self._heights[old]

    def _guarded(self, new: ast.stmt, old: ast.stmt) -> ast.stmt:
        """``try: new; except: skip, and lose what it assigns``."""
        lost = sorted(_assigned(old))
        names = sorted(_read(old))
        said = _call(
            "skip",
            ast.Name("__error__", ast.Load()),
            ast.Constant(old.lineno),
            ast.Tuple([ast.Constant(name) for name in names], ast.Load()),
            ast.Tuple([ast.Constant(name) for name in lost], ast.Load()),
        )
        handler: list[ast.stmt] = [ast.Expr(said)]
        if lost:
            value = ast.Attribute(ast.Name(GUARD, ast.Load()), "instead", ast.Load())
            targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in lost]
            drop: list[ast.stmt] = []
            for name in lost:
                gone = ast.Delete([ast.Name(name, ast.Del())])
                known = ast.Name("NameError", ast.Load())
                drop.append(ast.Try([gone], [ast.ExceptHandler(known, None, [ast.Pass()])], [], []))
            handler.append(ast.If(value, [ast.Assign(targets, value)], drop))
        caught = ast.Attribute(ast.Name(GUARD, ast.Load()), "caught", ast.Load())
        whole = ast.Try([new], [ast.ExceptHandler(caught, "__error__", handler)], [], [])
        ast.copy_location(whole, old)
        for part in (whole.handlers[0], *handler):
            ast.copy_location(part, old)
        return whole

    def _functiondef(self, old: ast.FunctionDef, depth: int) -> ast.stmt:
        body = self.body(old.body, 0)
        return _with(old, body=body)

    def _classdef(self, old: ast.ClassDef, depth: int) -> ast.stmt:
        """Only a class of its own, as whole programs are written in, is guarded inside."""
        free = all(isinstance(base, ast.Name) and base.id == "object" for base in old.bases)
        body = [
            self._functiondef(part, 0) if free and isinstance(part, ast.FunctionDef) else part
            for part in old.body
        ]
        return _with(old, body=body)

    def _if(self, old: ast.If, depth: int) -> ast.stmt:
        return _with(
            old, body=self.body(old.body, depth + 1), orelse=self.body(old.orelse, depth + 1)
        )

    def _for(self, old: ast.For, depth: int) -> ast.stmt:
        iterated = ast.copy_location(_call("loop", old.iter, ast.Constant(old.lineno)), old.iter)
        body, orelse = (self.body(part, depth + 1) for part in (old.body, old.orelse))
        return _with(old, iter=iterated, body=body, orelse=orelse)

    def _while(self, old: ast.While, depth: int) -> ast.stmt:
        goes_on = _call("again", ast.Constant(old.lineno))
        test = ast.copy_location(ast.BoolOp(ast.And(), [goes_on, old.test]), old.test)
        body, orelse = (self.body(part, depth + 1) for part in (old.body, old.orelse))
        return _with(old, test=test, body=body, orelse=orelse)

    def _with(self, old: ast.With, depth: int) -> ast.stmt:
        items = [
            ast.withitem(
                ast.copy_location(
                    _call("entering", _thunk(item.context_expr), ast.Constant(old.lineno)),
                    item.context_expr,
                )
                if _movable(item.context_expr)
                else item.context_expr,
                item.optional_vars,
            )
            for item in old.items
        ]
        return _with(old, items=items, body=self.body(old.body, depth + 1))

    def _try(self, old: ast.Try, depth: int) -> ast.stmt:
        inner = self.body(old.body, depth + 2)
        handled = [handler for handler in old.handlers if _repairs(handler)]
        if handled:
            types = [handler.type or ast.Name("BaseException", ast.Load()) for handler in handled]
            thunk = _thunk(ast.Tuple(types, ast.Load()))
            block = ast.With([ast.withitem(_call("trying", thunk), None)], inner)
            inner = [ast.copy_location(block, old)]
        handlers = [
            _with(handler, body=self.body(handler.body, depth + 1)) for handler in old.handlers
        ]
        orelse, final = (self.body(part, depth + 1) for part in (old.orelse, old.finalbody))
        return _with(old, body=inner, handlers=handlers, orelse=orelse, finalbody=final)


def _inner(old: ast.stmt) -> list[ast.stmt]:
    """The statements directly within a statement."""
    bodies = [getattr(old, name, []) for name in ("body", "orelse", "finalbody")]
    bodies += [part.body for part in (*getattr(old, "handlers", ()), *getattr(old, "cases", ()))]
    return [statement for body in bodies for statement in body]


def _with(old: _Node, **fields: Any) -> _Node:
    """A copy of a node with other fields."""
    new = type(old)(**{**dict(ast.iter_fields(old)), **fields})
    return ast.copy_location(new, old)


def _call(method: str, *args: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Name(GUARD, ast.Load()), method, ast.Load())
    return ast.Call(function, list(args), [])


def _thunk(value: ast.expr) -> ast.Lambda:
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.copy_location(ast.Lambda(nothing, value), value)


def _movable(value: ast.expr) -> bool:
    """Whether an expression means the same inside a function of its own."""
    bound = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
    return not any(isinstance(node, bound) for node in ast.walk(value))


def _is_header(old: ast.stmt) -> bool:
    """A docstring, or an import from ``__future__``."""
    if isinstance(old, ast.Expr):
        return isinstance(old.value, ast.Constant)
    return isinstance(old, ast.ImportFrom) and old.module == "__future__"


def _repairs(handler: ast.ExceptHandler) -> bool:
    """Whether a handler gives the script another way, and does not only tell of the error."""
    tells = (ast.Expr, ast.Pass, ast.Raise, ast.Import)
    return not all(isinstance(part, tells) for part in handler.body)


def _assigned(old: ast.stmt) -> set[str]:
    """The names that a simple statement, an import or a definition binds."""
    if isinstance(old, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {old.name}
    if isinstance(old, (ast.Import, ast.ImportFrom)):
        names = (alias.asname or alias.name.partition(".")[0] for alias in old.names)
        return {name for name in names if name != "*"}
    if not isinstance(old, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        return set()
    return {
        node.id
        for node in ast.walk(old)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _read(old: ast.stmt) -> set[str]:
    """The names that a simple statement reads."""
    if isinstance(old, (ast.FunctionDef, ast.ClassDef, ast.Try, ast.With, ast.While)):
        return set()
    where = old.iter if isinstance(old, ast.For) else old.test if isinstance(old, ast.If) else old
    return {
        node.id
        for node in ast.walk(where)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
