"""A TensorFlow Lite file → Graph, by a reader of its own: neither TensorFlow nor its schema."""

from __future__ import annotations

from costlens.frontends.tflite_file.file import read_tflite

__all__ = ["read_tflite"]
