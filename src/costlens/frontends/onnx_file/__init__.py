"""An ONNX file → Graph, by a reader of its own: neither the onnx package nor protobuf."""

from __future__ import annotations

from costlens.frontends.onnx_file.file import read_onnx

__all__ = ["read_onnx"]
