"""The op vector and what a rule may see of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costlens.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Call:
    """All that a rule may see: operand and output types, and attributes."""

    operands: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    attrs: Mapping[str, Any]

    @property
    def x(self) -> TensorType:
        """The first operand."""
        return self.operands[0]

    @property
    def out(self) -> TensorType:
        """The first output."""
        return self.outputs[0]


@dataclass(frozen=True, slots=True)
class Cost:
    """Exact operation counts and bytes of a call; costs add over calls and scale with repeats.

    ``macs`` is nominal: padded taps count, as papers do. ``macs_valid`` counts only taps on a
    real input element. ``bytes_read`` and ``bytes_written`` are traffic to and from memory.
    """

    macs: int = 0
    macs_valid: int = 0
    adds: int = 0
    muls: int = 0
    divs: int = 0
    comparisons: int = 0
    transcendentals: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    @property
    def flops(self) -> int:
        """2 × MACs and every other arithmetic operation, one each."""
        return (
            2 * self.macs
            + self.adds
            + self.muls
            + self.divs
            + self.comparisons
            + self.transcendentals
        )

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.macs + other.macs,
            self.macs_valid + other.macs_valid,
            self.adds + other.adds,
            self.muls + other.muls,
            self.divs + other.divs,
            self.comparisons + other.comparisons,
            self.transcendentals + other.transcendentals,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
        )

    def __mul__(self, times: int) -> Cost:
        if times == 1:
            return self
        return Cost(
            self.macs * times,
            self.macs_valid * times,
            self.adds * times,
            self.muls * times,
            self.divs * times,
            self.comparisons * times,
            self.transcendentals * times,
            self.bytes_read * times,
            self.bytes_written * times,
        )

    __rmul__ = __mul__


ZERO = Cost()
