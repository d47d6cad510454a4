"""Errors that reach the user: one line that says where, what, and what to do."""

from __future__ import annotations


class CostlensError(Exception):
    """Something the user can act on; printed as ``where: what. fix`` and exit code 2."""

    def __init__(self, where: str, what: str, fix: str = "") -> None:
        self.where, self.what, self.fix = where, what, fix
        super().__init__(where, what, fix)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if text and text[-1] not in ".?!":
            text += "."
        return f"{text} {self.fix}".strip().replace("\n", " ")


class InputError(CostlensError):
    """The target, the flags or the model's inputs are wrong."""


class LoweringError(CostlensError):
    """A layer call could not be read, or disagrees with Keras about itself."""


class GraphError(CostlensError):
    """A graph breaks an invariant of the IR; a fault in costlens, or in an edited graph."""
