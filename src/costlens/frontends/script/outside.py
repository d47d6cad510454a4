"""What a script would reach beyond itself is not there: the network, programs, an answer."""

from __future__ import annotations

import builtins
import getpass
import multiprocessing.process
import os
import socket
import subprocess
import time
import webbrowser
from typing import Any

from costlens.frontends.script.log import Log
from costlens.frontends.script.patches import Patches


def cut_off(log: Log, patches: Patches) -> None:
    """No connection, no program, no process, no waiting."""

    def offline(*args: Any, **kwargs: Any) -> Any:
        raise OSError("the network is not touched while a script is analysed")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        patches.set(socket.socket, name, offline)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        patches.set(socket, name, offline)

    def no_program(*args: Any, **kwargs: Any) -> Any:
        raise OSError("no program is started while a script is analysed")

    def not_run(command: Any = "", *args: Any, **kwargs: Any) -> int:
        log.say(f"not run: {str(command)[:60]}")
        return 0

    patches.set(subprocess.Popen, "__init__", no_program)
    patches.set(subprocess.Popen, "__del__", lambda self: None)
    for name in ("run", "call", "check_call"):
        patches.set(subprocess, name, _finished(not_run))
    patches.set(os, "system", not_run)
    for name in ("popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve"):
        if hasattr(os, name):
            patches.set(os, name, no_program)
    patches.set(multiprocessing.process.BaseProcess, "start", no_program)
    patches.set(webbrowser, "open", lambda *args, **kwargs: False)
    patches.set(builtins, "input", lambda *prompt: "")
    patches.set(getpass, "getpass", lambda *prompt, **options: "")
    patches.set(time, "sleep", lambda seconds: None)


def _finished(not_run: Any) -> Any:
    def run(command: Any = "", *args: Any, **kwargs: Any) -> Any:
        shown = command if isinstance(command, str) else " ".join(map(str, command))
        not_run(shown)
        text = any(kwargs.get(k) for k in ("text", "universal_newlines", "encoding"))
        return subprocess.CompletedProcess(command, 0, "" if text else b"", "" if text else b"")

    return run
