"""A TensorFlow SavedModel → Graph. TensorFlow parses it and infers its shapes; nothing is run."""

from __future__ import annotations

from costlens.frontends.saved_model.file import read_saved_model

__all__ = ["read_saved_model"]
