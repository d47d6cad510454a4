"""The process that runs a script: request in, answer out, then gone without ceremony."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn


def main(folder: str) -> NoReturn:
    """Answer the request in the folder, in a file beside it."""
    gc.disable()  # the process ends before a collection would pay
    try:
        text = _text(Path(folder, "request").read_text(encoding="utf-8"), folder)
        made = Path(folder, "answer.part")
        made.write_text(text, encoding="utf-8")
        made.rename(Path(folder, "answer"))
    except KeyboardInterrupt:
        os._exit(130)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _text(request: str, folder: str) -> str:
    from costlens.frontends.script.request import answer_text, error_text, read_request
    from costlens.frontends.script.session import answer

    try:
        return answer_text(answer(read_request(request), Path(folder, "written")))
    except Exception as error:
        return error_text(error, traceback.format_exc())
