"""A script in a process of its own: what comes back, what is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from costlens.errors import InputError, LoweringError
from costlens.frontends.script import process
from costlens.frontends.script.request import (
    Answer,
    Listed,
    Request,
    Running,
    ScriptFault,
    answer_text,
    error_text,
    read_answer,
    read_request,
    request_text,
)
from costlens.frontends.sizes import Wanted
from tests.ir.graphs import Draft

SCRIPT = """
import keras, threading, time
from beside import UNITS
net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(UNITS)], name="net")
raise ValueError("no")
"""


def test_a_request_and_an_answer_come_back_as_they_were() -> None:
    running = Running(("--data", "x y"), True, 3.5)
    wanted = Wanted(2, {"a": [3, 4]}, {"text": 5}, {"a": ["int32", [2, 3]]}, verify=True)
    request = Request("m.py", True, wanted, running)
    assert read_request(request_text(request)) == request
    draft = Draft()
    graph = draft.graph(draft.node("unary", (draft.input((2, 3)),), "relu", fn="relu"))
    models = (
        Listed("m.py:a", 3, 10**20, graph, None, graph),
        Listed("m.py:b", None, 0, problem="it is not read"),
    )
    answer = Answer(models, ("m.py:1: skipped.",), "3.15.1", "tensorflow")
    assert read_answer(answer_text(answer)) == answer


def test_an_error_comes_back_as_it_was() -> None:
    with pytest.raises(LoweringError) as caught:
        read_answer(error_text(LoweringError("dense", "is wrong", "Report it.")))
    assert str(caught.value) == "dense: is wrong. Report it."
    with pytest.raises(ScriptFault, match="KeyError: 'k'\nfrom here"):
        read_answer(error_text(KeyError("k"), "from here"))


def test_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_process: None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text(SCRIPT)
    Path("beside.py").write_text("UNITS = 3\n")
    answer = process.ask(Request("m.py", wanted=Wanted(batch=5)))
    (model,) = answer.models
    assert (model.target, model.line, model.params) == ("m.py:net", 4, 15)
    assert model.graph is not None
    assert model.graph.values[model.graph.inputs[0]].shape == (5, 4)
    assert answer.warnings == ("m.py:5: skipped: ValueError: no.",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.py", "m.py"]


def test_a_script_that_ends_its_process_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_process: None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(InputError, match=r"m.py: the process that ran it ended with exit code 7"):
        process.ask(Request("m.py"))


def test_a_process_that_does_not_stop_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_process: None
) -> None:
    """A stand-in for a script that hangs where Python cannot interrupt it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "GRACE", 1.0)
    hangs = (
        "import os, signal, sys, time; folder = sys.argv.pop(); "
        "signal.signal(signal.SIGALRM, signal.SIG_IGN); "
        "child = os.fork(); open('pids', 'a').write(f'{os.getpid()}\\n'); time.sleep(100)"
    )
    monkeypatch.setattr(process, "_START", hangs)
    started = time.monotonic()
    with pytest.raises(InputError, match="it still runs after 2 s"):
        process.ask(Request("m.py", running=Running(time_limit=1.0)))
    assert time.monotonic() - started < 20
    time.sleep(0.2)
    for pid in Path("pids").read_text().split():
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "Z (zombie)" in status.read_text()


def test_the_parent_imports_no_framework(tmp_path: Path) -> None:
    Path(tmp_path, "m.py").write_text(SCRIPT.replace("from beside import UNITS", "UNITS = 3"))
    code = (
        "import sys, costlens\n"
        "print(costlens.analyze('m.py').totals.params)\n"
        "print([n for n in ('keras', 'tensorflow') if n in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert result.stdout == "15\n[]\n"
