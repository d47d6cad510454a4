"""Without the frameworks that judge the counters there is nothing to test here."""

from importlib.util import find_spec

if not all(find_spec(name) for name in ("hypothesis", "keras", "tensorflow")):
    collect_ignore_glob = ["test_*.py"]
elif not find_spec("jax"):  # older versions are installed with TensorFlow alone
    collect_ignore = ["test_loops_xla.py"]
