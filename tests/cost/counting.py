"""Numbers that count what is done with them.

A definition written in plain Python and run on a `Number` leaves behind, in the `Tally` that the
number carries, every operation that it performed. Copies, sign flips and choices between values
are free; an integer power is its multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from costlens.cost.cost import Cost


@dataclass
class Tally:
    """How often each kind of operation was performed."""

    adds: int = 0
    muls: int = 0
    divs: int = 0
    comparisons: int = 0
    transcendentals: int = 0

    @property
    def cost(self) -> Cost:
        """The tally as an op vector."""
        return Cost(
            adds=self.adds,
            muls=self.muls,
            divs=self.divs,
            comparisons=self.comparisons,
            transcendentals=self.transcendentals,
        )

    def number(self, value: float) -> Number:
        """A number that counts here."""
        return Number(float(value), self)


Operand = "Number | float"


class Number:
    """A float whose arithmetic is counted."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: float, tally: Tally) -> None:
        self.value = value
        self.tally = tally

    def _made(self, kind: str, value: float) -> Number:
        setattr(self.tally, kind, getattr(self.tally, kind) + 1)
        return Number(value, self.tally)

    def _tested(self, outcome: bool) -> bool:
        self.tally.comparisons += 1
        return bool(outcome)

    def __add__(self, other: Operand) -> Number:
        return self._made("adds", self.value + _value(other))

    def __sub__(self, other: Operand) -> Number:
        return self._made("adds", self.value - _value(other))

    def __rsub__(self, other: Operand) -> Number:
        return self._made("adds", _value(other) - self.value)

    def __mul__(self, other: Operand) -> Number:
        return self._made("muls", self.value * _value(other))

    def __truediv__(self, other: Operand) -> Number:
        return self._made("divs", _divided(self.value, _value(other)))

    def __rtruediv__(self, other: Operand) -> Number:
        return self._made("divs", _divided(_value(other), self.value))

    __radd__ = __add__
    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Number:
        power = self
        for _ in range(exponent - 1):
            power = power * self
        return power

    def __neg__(self) -> Number:
        return Number(-self.value, self.tally)

    def __abs__(self) -> Number:
        return Number(abs(self.value), self.tally)

    def __lt__(self, other: Operand) -> bool:
        return self._tested(self.value < _value(other))

    def __le__(self, other: Operand) -> bool:
        return self._tested(self.value <= _value(other))

    def __gt__(self, other: Operand) -> bool:
        return self._tested(self.value > _value(other))

    def __ge__(self, other: Operand) -> bool:
        return self._tested(self.value >= _value(other))

    def __eq__(self, other: object) -> bool:
        return self._tested(self.value == _value(other))

    def __ne__(self, other: object) -> bool:
        return self._tested(self.value != _value(other))

    def __bool__(self) -> bool:
        raise TypeError("a number is no truth value: compare it")


def _value(other: object) -> float:
    return other.value if isinstance(other, Number) else float(other)  # type: ignore[arg-type]


def _divided(a: float, b: float) -> float:
    return a / b if b else math.copysign(math.inf, a) * math.copysign(1.0, b) if a else math.nan


def function(kind: str, of: Callable[..., float]) -> Callable[..., Number]:
    """A function of numbers that counts as one operation of a kind."""

    def counted(*numbers: Number) -> Number:
        return numbers[0]._made(kind, float(of(*(number.value for number in numbers))))

    return counted


exp = function("transcendentals", math.exp)
exp2 = function("transcendentals", math.exp2)
log = function("transcendentals", math.log)
log1p = function("transcendentals", math.log1p)
sqrt = function("transcendentals", math.sqrt)
rsqrt = function("transcendentals", lambda x: 1.0 / math.sqrt(x))
tanh = function("transcendentals", math.tanh)
erf = function("transcendentals", math.erf)
sin = function("transcendentals", math.sin)
sigmoid = function("transcendentals", lambda x: 1.0 / (1.0 + math.exp(-x)))


def larger(a: Number, b: Operand) -> Operand:
    """The larger of two, by one comparison."""
    return a if a >= b else b


def smaller(a: Number, b: Operand) -> Operand:
    """The smaller of two, by one comparison."""
    return a if a <= b else b


def total(numbers: Iterable[Number]) -> Number:
    """The sum, one number after the other."""
    return reduce(lambda a, b: a + b, numbers)


def costliest(definition: Callable[..., object], samples: Iterable[Sequence[float]]) -> Cost:
    """What a definition costs where it takes its costliest branch."""
    counted = []
    for sample in samples:
        tally = Tally()
        definition(*(tally.number(value) for value in sample))
        counted.append(tally.cost)
    return max(counted, key=lambda cost: cost.flops)
