"""Tracing, against TensorFlow's own time to trace, and a 61-billion-parameter subclass. Prints."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

HERE = Path(__file__).parent
MODEL = "EfficientNetV2L"


def median(work: Callable[[], object], runs: int = 5) -> float:
    """Median seconds of several runs, after one that is not counted."""
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def verification() -> None:
    """Reading, tracing, pricing and comparing a built model, against ``tf.function`` on it."""
    import keras
    import tensorflow as tf

    import costlens

    model = getattr(keras.applications, MODEL)(weights=None)
    spec = tf.TensorSpec((1, *model.input_shape[1:]))
    theirs = median(lambda: tf.function(model).get_concrete_function(spec))
    ours = median(lambda: costlens.analyze(model, verify=True).verification)
    print(
        f"{MODEL}: analyze with verify {ours:.2f} s, TensorFlow's trace {theirs:.2f} s: ratio "
        f"{ours / theirs:.2f} (bound 2)"
    )


def decoder() -> None:
    """The whole process on the subclassed decoder: its time and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "decoder.json")
        target = f"{HERE / 'decoder_subclass.py'}:Decoder"
        flags = ["--input", "tokens=int32:1,2048", "-o", str(out)]
        command = [sys.executable, "-m", "costlens", "analyze", target, *flags]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
        totals = json.loads(out.read_text())["totals"]
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(
        f"{totals['params']:,} parameters, {totals['macs']:,} MACs: {seconds:.1f} s (bound 10 s), "
        f"peak RSS {peak:.2f} GB (bound 1.0 GB)"
    )


def files() -> None:
    """The whole process on saved models."""
    with tempfile.TemporaryDirectory() as folder:
        make = (
            "import keras, sys; name, out = sys.argv[1:]; "
            "m = getattr(keras.applications, name)(weights=None); m.save(out + '/m.keras'); "
            "open(out + '/m.json', 'w').write(m.to_json())"
        )
        for name, bound in (("MobileNetV2", 0.6), (MODEL, 1.0)):
            command = [sys.executable, "-c", make, name, folder]
            subprocess.run(command, check=True, capture_output=True)
            for file in ("m.json", "m.keras"):
                analyze = [sys.executable, "-m", "costlens", "analyze", f"{folder}/{file}"]
                seconds = median(
                    lambda c=analyze: subprocess.run(c, check=True, capture_output=True)
                )
                print(f"{name} {file[1:]}: whole process {seconds:.2f} s (bound {bound} s)")


if __name__ == "__main__":
    decoder()
    files()
    verification()
