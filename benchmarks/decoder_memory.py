"""Peak memory and time of analysing the 61-billion-parameter decoder. Prints; asserts nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "decoder.json"
        command = [sys.executable, "-m", "costlens", "analyze", f"{HERE / 'decoder.py'}:build"]
        start = time.perf_counter()
        child = subprocess.Popen([*command, "-o", str(out)])
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            sys.exit("costlens analyze failed")
        totals = json.loads(out.read_text())["totals"]
    print(f"{totals['params']:,} parameters, {totals['macs']:,} MACs")
    print(f"peak RSS {usage.ru_maxrss / 1e6:.2f} GB (bound 0.9 GB), {seconds:.1f} s")
