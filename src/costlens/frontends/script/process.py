"""A script runs in a process of its own, which is gone, with all it wrote, when it has answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from costlens.errors import InputError
from costlens.frontends.script.request import Answer, Request, read_answer, request_text

_START = (
    "import json, sys; folder = sys.argv.pop(); sys.path[:] = json.load(open(folder + '/path')); "
    "from costlens.frontends.script.child import main; main(folder)"
)
GRACE = 60.0
"""Seconds beyond a script's time limit, to read what it has made until then."""


def ask(request: Request) -> Answer:
    """Run a TARGET in a process of its own; raises what goes wrong there.

    Its standard input is empty, what it prints goes to standard error.
    """
    with tempfile.TemporaryDirectory(prefix="costlens-", ignore_cleanup_errors=True) as folder:
        Path(folder, "path").write_text(json.dumps(sys.path), encoding="utf-8")
        Path(folder, "request").write_text(request_text(request), encoding="utf-8")
        process = _started(folder)
        late = threading.Event()
        limit = request.running.time_limit

        def stop() -> None:
            late.set()
            process.kill()

        watch = threading.Timer(limit + GRACE, stop)
        try:
            if limit > 0:
                watch.start()
            code = process.wait()  # without a timeout, which would look only now and then
        finally:
            watch.cancel()
            _end(process)
        if late.is_set():
            raise _too_long(request)
        return _answer(request, Path(folder, "answer"), code)


def _started(folder: str) -> subprocess.Popen[bytes]:
    # nothing is computed there, so TensorFlow's start-up messages say nothing to our user
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "MPLBACKEND": "Agg"}
    return subprocess.Popen(
        [sys.executable, "-c", _START, folder],
        stdin=subprocess.DEVNULL,
        stdout=_standard_error(),
        env={**quiet, **os.environ},
        start_new_session=True,
    )


def _standard_error() -> int:
    """The process's own standard error, or nowhere where it is closed."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it has started."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _answer(request: Request, path: Path, code: int) -> Answer:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise InputError(
            request.target,
            f"the process that ran it ended with {how} and no answer",
            "Name a function that makes the model after a colon.",
        ) from error
    return read_answer(text)


def _too_long(request: Request) -> InputError:
    return InputError(
        request.target,
        f"it still runs after {request.running.time_limit + GRACE:.0f} s",
        "Give it more with --time-limit, or name a function that makes the model after a colon.",
    )
