"""A rewritten script means what it meant, and goes on after a statement that fails."""

from __future__ import annotations

import ast
import builtins
from typing import Any

import pytest

from costlens.frontends.script.guard import Guard
from costlens.frontends.script.log import Log
from costlens.frontends.script.standin import StandIn
from costlens.frontends.script.statements import GUARD, instrumented


def rewritten(source: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The names and the warnings of a script that runs guarded."""
    log = Log()
    log.own("s.py", "s.py")
    names: dict[str, Any] = {GUARD: Guard(log)}
    exec(compile(instrumented(ast.parse(source)), "s.py", "exec"), names)
    return names, log.said()


SOUND = {
    "functions": """
def outer(n):
    "A docstring."
    total = 0
    for i in range(n):
        if i == 3:
            continue
        if i == 6:
            break
        total += i
    else:
        total = -1
    return total
seen = [outer(3), outer(9)]
""",
    "errors that the script handles": """
def risky(x):
    y = 10 // x
    return y
def safe(x):
    try:
        value = risky(x)
    except ZeroDivisionError as error:
        return str(error)
    else:
        return value
    finally:
        done.append(x)
done = []
seen = [safe(0), safe(5), done]
""",
    "an error by its group": """
seen = []
try:
    try:
        {}["x"]
    except IndexError:
        seen = ["wrong"]
except (LookupError, OSError) as error:
    seen = [type(error).__name__]
""",
    "generators and contexts": """
from contextlib import contextmanager, suppress
@contextmanager
def entered(log):
    log.append("in")
    yield 3
    log.append("out")
def numbers():
    yield 1
    yield from (2, 3)
log = []
with entered(log) as a, entered(log) as b:
    log.append(a + b)
seen = [list(numbers()), log]
""",
    "while, walrus, global, nested": """
count = 0
def step():
    global count
    count += 1
    return count
seen = []
while (n := step()) < 5:
    if n == 2:
        continue
    seen.append(n)
else:
    seen.append("end")
def closure():
    x = 1
    def inner():
        nonlocal x
        x += 1
        return x
    inner()
    return inner()
seen.append(closure())
class Plain:
    kind = "plain"
    def method(self, a, *rest, b=2, **more):
        return a, rest, b, more
seen.append(Plain().method(1, 2, b=3, c=4))
""",
}


@pytest.mark.parametrize("source", SOUND.values(), ids=SOUND)
def test_a_script_that_does_not_fail_means_the_same(source: str) -> None:
    plain: dict[str, Any] = {}
    exec(compile(source, "s.py", "exec"), plain)
    names, said = rewritten(source)
    assert names["seen"] == plain["seen"]
    assert said == ()


def test_a_statement_that_fails_is_skipped_and_named() -> None:
    names, said = rewritten("a = 1\nb = {}['k']\nc = a + 1\n")
    assert names["c"] == 2
    assert "b" not in names
    assert said == ("s.py:2: skipped: KeyError: 'k'.",)


def test_what_a_skipped_statement_would_have_assigned_is_lost_even_where_it_had_a_value() -> None:
    names, said = rewritten("x = 1\nx = x + {}\ny = x\nz = y\nw = 5\n")
    assert "x" not in names
    assert "z" not in names
    assert names["w"] == 5
    (line,) = said
    assert line.startswith("s.py:2: skipped: TypeError: ")
    assert line.endswith("2 lines after it went with it.")


def test_a_function_goes_on_and_a_return_that_fails_leaves_it() -> None:
    source = "def f():\n    1 / 0\n    return 7\ndef g():\n    return 1 / 0\na = f()\nb = g()\n"
    names, said = rewritten(source)
    assert names["a"] == 7
    assert "b" not in names
    assert said == (
        "s.py:2: skipped: ZeroDivisionError: division by zero.",
        "s.py:5: skipped: ZeroDivisionError: division by zero.",
    )


def test_a_method_of_a_subclass_fails_as_a_whole() -> None:
    source = "class A(dict):\n    def f(self):\n        self.a = 1 / 0\n        self.b = 1\n"
    names, said = rewritten(source + "a = A()\na.f()\n")
    assert vars(names["a"]) == {}
    assert said == ("s.py:3: skipped: ZeroDivisionError: division by zero.",)


def test_a_handler_that_only_tells_of_an_error_does_not_end_the_work() -> None:
    source = "def main():\n    1 / 0\n    made.append(1)\nmade = []\n"
    names, _ = rewritten(source + "try:\n    main()\nexcept Exception as e:\n    print(e)\n")
    assert names["made"] == [1]
    repairs = "try:\n    main()\nexcept Exception as e:\n    made = None\n"
    assert rewritten(source + repairs)[0]["made"] is None


def test_missing_data_are_stood_in_for() -> None:
    names, said = rewritten("a = open('/no/such/file')\nb, c = a.read(), 1\nd = 'x' + a\n")
    assert isinstance(names["a"], StandIn)
    assert isinstance(names["b"], StandIn)
    assert len(said) == 1


def test_a_context_that_cannot_be_entered_does_not_take_its_body_with_it() -> None:
    names, said = rewritten("with open('/no/such/file') as f:\n    x = f.read()\n    y = 2\n")
    assert names["y"] == 2
    assert isinstance(names["x"], StandIn)
    assert said[0].startswith("s.py:1: entered without its context: FileNotFoundError: ")


@pytest.mark.parametrize("exits", ["import sys\nsys.exit()", "raise SystemExit(0)"])
def test_a_script_may_end_itself(exits: str) -> None:
    with pytest.raises(SystemExit):
        rewritten(f"{exits}\nraise ValueError\n")


def test_a_loop_without_an_end_is_left() -> None:
    names, _ = rewritten(
        "n = 0\nwhile True:\n    n += 1\nfor _ in iter(int, 1):\n    n += 1\nz = 1\n"
    )
    assert names["n"] > 2
    assert names["z"] == 1


def test_blocks_as_deep_as_python_allows() -> None:
    """Python allows 20 blocks in one another, and the guards are blocks too."""
    lines = [f"{' ' * i}for x{i} in (1,):" for i in range(18)]
    source = "\n".join([*lines, " " * 18 + "y = 1\n"])
    assert rewritten(source)[0]["y"] == 1


def test_numbers_that_a_stand_in_gives() -> None:
    thing = StandIn("x")
    a, b, c = thing
    assert [type(each) for each in (a, b, c)] == [StandIn] * 3
    first, *_rest = thing
    assert isinstance(first, StandIn)
    assert len(thing) == int(thing) == float(thing.mean()) == 32
    assert isinstance((thing + 1) * 2 - thing[3:, "a"].values, StandIn)
    assert not isinstance(3, thing)
    assert thing(lambda: 5)() == 5  # as a decorator

    class Derived(thing):
        pass

    assert isinstance(Derived(1).anything, StandIn)
    assert isinstance(builtins.sum([thing]), StandIn)
