"""Something that stands in for what is not here: data, a package, what a skipped line gave."""

from __future__ import annotations

import dis
import operator
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from costlens.frontends.script.log import Log

GUESS = 32
"""The number that a stand-in gives where a number is needed; it is always warned of."""

_LOG: list[Log] = []


class StandIn:
    """Any attribute, call, item and sum of it is another; a number needed of it is a guess.

    ``what`` says in words what it stands in for.
    """

    def __init__(self, what: str) -> None:
        self.__dict__["_what"] = what

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_keras", "_tf_", "_ipython", "_repr_")):
            raise AttributeError(name)
        if name == "shape":
            return StandIn(f"the shape of {self._what}")
        return StandIn(self._what)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        only = args[0] if len(args) == 1 and not kwargs else None
        if isinstance(only, type) or type(only).__name__ == "function":
            return only  # it decorates
        files = [a for a in args if isinstance(a, str) and "." in a.strip(".") and len(a) < 100]
        return StandIn(f"the data in {files[0]}" if files else self._what)

    def __getitem__(self, key: Any) -> Any:
        return StandIn(self._what)

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __delitem__(self, key: Any) -> None:
        pass

    def __contains__(self, item: Any) -> bool:
        return False

    def __iter__(self) -> Iterator[Any]:
        count = unpacked(sys._getframe(1))
        if count is None:
            count = self._number("each item")
        return iter([StandIn(self._what) for _ in range(count)])

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return self._number("len")

    def __index__(self) -> int:
        return self._number("a whole number")

    __int__ = __index__

    def __float__(self) -> float:
        return float(self._number("a number"))

    def __hash__(self) -> int:
        return hash(self._what)

    def __str__(self) -> str:
        return "stand-in"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    def __fspath__(self) -> str:
        return "stand-in"

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.zeros((self._number("an array"),), dtype or "float32")

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> Any:
        return sys.modules["tensorflow"].constant(np.zeros((GUESS,), "float32"), dtype)

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (Base,)

    def __instancecheck__(self, other: Any) -> bool:
        return False

    def __subclasscheck__(self, other: Any) -> bool:
        return False

    def _number(self, kind: str) -> int:
        if _LOG:
            _LOG[-1].say(f"{kind} is needed of {self._what}, and is taken as {GUESS}")
        return GUESS


class Base:
    """What a class inherits from where its base is not here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(f"{type(self).__name__}.{name}")


def unpacked(frame: FrameType) -> int | None:
    """How many values a frame unpacks just now, as in ``a, b = …``; None where it does not."""
    code, at = frame.f_code.co_code, frame.f_lasti
    name, count = dis.opname[code[at]], code[at + 1]
    if name.startswith("UNPACK_SEQUENCE"):
        return count
    return count + 1 if name.startswith("UNPACK_EX") else None


def _same(self: StandIn, *others: Any) -> StandIn:
    return StandIn(self._what)


def _operators() -> Iterator[str]:
    for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
        yield f"__{name}__"
        yield f"__r{name}__"
    yield from "__neg__ __pos__ __abs__ __invert__ __lt__ __le__ __gt__ __ge__ __round__".split()


def _equal(self: StandIn, other: object) -> bool:
    return type(other) is StandIn and self._what == other._what


for _name in _operators():
    setattr(StandIn, _name, _same)
StandIn.__eq__ = _equal  # type: ignore[method-assign, assignment]


def told(log: Log) -> Callable[[], None]:
    """Warn in this log of numbers that are guessed; gives what ends that."""
    _LOG.append(log)
    return _LOG.pop  # type: ignore[return-value]


def holds(value: Any) -> bool:
    """Whether a value is a stand-in, or a short list or tuple with one in it."""
    if isinstance(value, (list, tuple)) and len(value) < 20:
        return any(holds(item) for item in value)
    return type(value) in (StandIn, Base) or operator.is_(value, StandIn)
