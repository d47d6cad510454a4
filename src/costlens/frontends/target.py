"""What a TARGET on the command line means: a file or module, and an expression in it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from costlens.errors import InputError

_SAVED = (".keras", ".h5", ".hdf5", ".json", ".tflite", ".onnx", ".pb")
SAVED_MODEL = "saved_model.pb"
"""What makes a folder a TensorFlow SavedModel."""

SCRIPTS = (".py", ".ipynb")
"""Files that are run: scripts and notebooks."""
_NO_KIND = "is not a kind of file that is read"


@dataclass(frozen=True, slots=True)
class Target:
    """``model.py`` or ``package.module``, and after the colon a name or a call of literals.

    ``saved`` is set in their place where the TARGET is a saved model or configuration.
    ``attribute`` is a dotted name, with literal subscripts: ``models["small"].encoder``.
    """

    text: str
    path: Path | None
    module: str | None
    attribute: str | None = None
    called: bool = False
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    saved: Path | None = None

    @property
    def where(self) -> str:
        """The file or module, for messages."""
        return str(self.path) if self.path else str(self.module)


def parse_target(text: str) -> Target:
    """Parse a TARGET; raises InputError where it is none, is absent, or is not read yet."""
    head, expression = _split(text)
    suffix = Path(head).suffix.lower()
    there = os.path.exists(head)
    named = all(part.isidentifier() for part in head.split("."))
    if suffix in (*SCRIPTS, *_SAVED) or "/" in head or (there and expression[0] is None):
        if os.path.isfile(os.path.join(head, SAVED_MODEL)):
            return Target(text, None, None, saved=Path(head))
        if os.path.isdir(head):
            what = f"is a folder, and no SavedModel: it has no {SAVED_MODEL}"
            raise InputError(_short(head), what, "Pass a model.py in it.")
        if not there:
            raise InputError(_short(head), "no such file", "Check the path.")
        if suffix in _SAVED:
            return Target(text, None, None, saved=Path(head))
        if suffix not in SCRIPTS:
            raise InputError(_short(head), _NO_KIND, "Pass a model.py or a .keras file.")
        return Target(text, Path(head), None, *expression)
    if expression[0] is None and named and "." in head:
        raise InputError(_short(text), "a module needs a name in it", f"Write {_short(head)}:name.")
    if expression[0] is None or not named:
        raise InputError(
            _short(text),
            "no such file, and no package.module:name",
            "Pass model.py, model.py:name or keras.applications:MobileNetV2.",
        )
    return Target(text, None, head, *expression)


def _short(text: str) -> str:
    """Enough of a TARGET to know it again in a message."""
    return text if len(text) <= 100 else f"{text[:80]}…"


Expression = tuple[str | None, bool, tuple[Any, ...], Mapping[str, Any]]


def _split(text: str) -> tuple[str, Expression]:
    for suffix in SCRIPTS:
        head, colon, tail = text.partition(f"{suffix}:")
        if colon:
            return head + suffix, _expression(text, tail)
    if Path(text).suffix.lower() in (*SCRIPTS, *_SAVED) or os.path.exists(text):
        return text, (None, False, (), {})
    head, colon, tail = text.partition(":")
    return head, _expression(text, tail) if colon else (None, False, (), {})


def _expression(text: str, source: str) -> Expression:
    """``name``, ``a.b``, ``a["key"]`` or ``name(literals)``; only literals are evaluated.

    A whole number is a line of the script: the model that it makes.
    """
    if re.fullmatch("[1-9][0-9]{0,8}", source):
        return source, False, (), {}
    wrong = InputError(
        _short(text),
        "what follows the colon is neither a name nor a call with literal arguments",
        "Write it as name or name(width=0.5, classes=10).",
    )
    try:
        node = ast.parse(source.strip(), mode="eval").body
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        called = isinstance(node, ast.Call)
        if isinstance(node, ast.Call):
            args = tuple(ast.literal_eval(arg) for arg in node.args)
            for keyword in node.keywords:
                if keyword.arg is None or keyword.arg in kwargs:
                    raise wrong
                kwargs[keyword.arg] = ast.literal_eval(keyword.value)
            node = node.func
        return _dotted(node, wrong), called, args, kwargs
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise wrong from error


def _dotted(node: ast.expr, wrong: InputError) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, wrong)}.{node.attr}"
    if isinstance(node, ast.Subscript):
        return f"{_dotted(node.value, wrong)}[{ast.literal_eval(node.slice)!r}]"
    raise wrong


def resolve(expression: str, names: Mapping[str, Any]) -> Any:
    """What a target's attribute stands for among a script's names.

    Raises LookupError, AttributeError or TypeError where it stands for nothing.
    """

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Attribute):
            return getattr(value(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            return value(node.value)[ast.literal_eval(node.slice)]
        if not isinstance(node, ast.Name):
            raise LookupError(expression)
        return names[node.id]

    return value(ast.parse(expression, mode="eval").body)
