"""What a rewritten script calls: skips statements, ends loops, knows what the script expects."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from costlens.errors import CostlensError
from costlens.frontends.script.log import Log, described
from costlens.frontends.script.standin import StandIn, holds

_LOOP_SECONDS = 3.0
_BUILDING = tuple(
    f"{os.sep}keras{os.sep}src{os.sep}{part}{os.sep}"
    for part in ("layers", "models", "applications")
)


class TimeUp(BaseException):
    """A script's time is up."""


class Guard:
    """One run of a script.

    ``caught`` are the errors that skip a statement. ``instead`` stands for what the statement
    skipped last would have given, and is None where nothing may stand for it. ``trained`` and
    ``made`` count what the script has trained or called on data, and the layers it has made.
    """

    caught = (Exception, SystemExit)

    def __init__(self, log: Log) -> None:
        self.log = log
        self.instead: StandIn | None = None
        self.trained = 0
        self.made = 0
        self.timed_out = False
        self.parts: tuple[type, ...] = ()
        """Layers and symbolic tensors: what a statement that reads one would have built on."""
        self.failed: list[tuple[str, BaseException]] = []
        self._expected: list[Callable[[], Any]] = []
        self._whiles: dict[tuple[int, int], _Loop] = {}
        self._later: list[tuple[tuple[bytes, ...], Callable[[], None]]] = []
        self._lost: dict[str, str] = {}
        self._without_data = False
        self._lines: set[str] = set()

    def prepare(self, words: tuple[bytes, ...], what: Callable[[], None]) -> None:
        """Do something once the user's own code has one of these words in it, and not before."""
        self._later.append((words, what))

    def opened(self, source: bytes) -> None:
        """A file of the user's is about to run."""
        wanted = [each for each in self._later if any(word in source for word in each[0])]
        self._later = [each for each in self._later if each not in wanted]
        for _, what in wanted:
            what()

    def skip(
        self, error: BaseException, line: int, read: tuple[str, ...], lost: tuple[str, ...]
    ) -> None:
        """Go on after a statement that failed, or raise the error again where it is expected."""
        if self.expects(error) or _leaves(error):
            raise error
        frame = sys._getframe(1)
        names = {**frame.f_globals, **frame.f_locals}
        values = [names.get(name) for name in read]
        missing = _is_missing(error) or any(map(holds, values))
        missing |= self._without_data and not (
            in_keras(error) or any(isinstance(value, self.parts) for value in values)
        )
        self._without_data |= missing
        where = self.log.raised_at(error) or self.log.line()
        self.instead = StandIn(f"what {where} would have given") if missing and lost else None
        cause = self._lost.get(_missing_name(error), where)
        for name in lost:
            self._lost[name] = cause
        if cause != where:
            self.log.lost(where, cause)
            return
        if where in self._lines:
            return
        self._lines.add(where)
        self.failed.append((where, error))
        what = error.what if isinstance(error, CostlensError) else described(error)
        self.log.say(f"skipped: {what}", where=where, skipped=True)

    def bare(self) -> None:
        """Data are missing from here on."""
        self._without_data = True

    def ended(self, error: BaseException) -> None:
        """Something that no statement may be skipped for has ended the script."""
        where = self.log.raised_at(error)
        self.failed.append((where, error))
        self.log.say(f"ended by {described(error)}", where=where)

    def expects(self, error: BaseException) -> bool:
        """Whether the script itself handles this error, in a way that it can go on with."""
        for types in self._expected:
            try:
                if isinstance(error, types()):
                    return True
            except Exception:
                continue
        return False

    @contextmanager
    def trying(self, types: Callable[[], Any]) -> Iterator[None]:
        """The body of the script's own ``try``."""
        self._expected.append(types)
        try:
            yield
        finally:
            self._expected.pop()

    def entering(self, make: Callable[[], Any], line: int) -> Any:
        """The context of a ``with``; a stand-in where it cannot be entered."""
        return _Entering(self, make)

    def loop(self, items: Iterable[Any], line: int) -> Iterator[Any]:
        """The items of a ``for``, until the loop trains or takes long and builds nothing."""
        state = _Loop(self)
        for item in items:
            yield item
            if state.enough():
                return

    def begin(self, line: int) -> None:
        """A ``while`` starts."""
        self._whiles[id(sys._getframe(1)), line] = _Loop(self)

    def again(self, line: int) -> bool:
        """Whether a ``while`` may go round once more."""
        state = self._whiles.get((id(sys._getframe(1)), line))
        if state is None or state.fresh:
            if state is not None:
                state.fresh = False
            return True
        return not state.enough()


class _Loop:
    """One loop: how long it has run, what it has made and trained."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.started = time.monotonic()
        self.trained = guard.trained
        self.made = guard.made
        self.rounds = 0
        self.fresh = True

    def enough(self) -> bool:
        """Whether the last round built nothing, and more rounds would only train or wait."""
        self.rounds += 1
        built, self.made = self.guard.made > self.made, self.guard.made
        if built:
            self.started = time.monotonic()
            return False
        trains = self.guard.trained > self.trained
        if trains and self.rounds >= 2:
            return True
        waits = time.monotonic() - self.started > _LOOP_SECONDS
        if waits:
            self.guard.log.say(
                "a loop that makes no layer is ended here; the script goes on after it"
            )
        return waits


class _Entering:
    """A context manager that is made, entered and left under a guard."""

    def __init__(self, guard: Guard, make: Callable[[], Any]) -> None:
        self.guard, self.make = guard, make
        self.context: Any = None

    def __enter__(self) -> Any:
        try:
            context = self.make()
            value = context.__enter__()
            self.context = context
        except Guard.caught as error:
            if self.guard.expects(error) or _leaves(error):
                raise
            self.guard.bare()
            where = self.guard.log.raised_at(error) or self.guard.log.line()
            self.guard.failed.append((where, error))
            self.guard.log.say(f"entered without its context: {described(error)}", where=where)
            return StandIn(f"what {where} would have given")
        return value

    def __exit__(self, *error: Any) -> Any:
        return self.context.__exit__(*error) if self.context is not None else None


def in_keras(error: BaseException) -> bool:
    """Whether an error was raised as something was built of Keras's layers."""
    trace = error.__traceback__
    while trace is not None:
        if any(part in trace.tb_frame.f_code.co_filename for part in _BUILDING):
            return True
        trace = trace.tb_next
    return False


def _missing_name(error: BaseException) -> str:
    """The name that an error is about, if it is about one."""
    if isinstance(error, UnboundLocalError):
        return str(error).partition("'")[2].partition("'")[0]
    return str(error.name) if isinstance(error, NameError) else ""


def _leaves(error: BaseException) -> bool:
    """Whether the script ends here by its own will."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def _is_missing(error: BaseException | None) -> bool:
    """Whether something failed because a file, a host or data is absent."""
    if isinstance(error, OSError):
        return True
    name = type(error).__name__
    return name in ("NotFoundError", "UnimplementedError", "BadZipFile", "EOFError", "SystemExit")
