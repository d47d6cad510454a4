"""The only formatting of numbers and of text from the user's model."""

from __future__ import annotations

import unicodedata

_COUNT = ((10**18, "E"), (10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_BYTES = tuple(
    (2 ** (10 * n), f"{letter}iB") for n, letter in zip(range(6, 0, -1), "EPTGMK", strict=True)
)


def exact(n: int, at_least: bool = False) -> str:
    """An integer in full.

    >>> exact(1248424)
    '1,248,424'
    """
    return f"{'≥ ' if at_least else ''}{n:,}"


def count(n: int, at_least: bool = False) -> str:
    """A count to three significant digits with an SI prefix; small ones in full.

    >>> count(300774272), count(999), count(0), count(999_999)
    ('301 M', '999', '0', '1.00 M')
    """
    return f"{'≥ ' if at_least else ''}{_scaled(n, _COUNT, '')}"


def size(nbytes: int, at_least: bool = False) -> str:
    """Bytes to three significant digits with a binary prefix.

    >>> size(9_720_192), size(512), size(1536)
    ('9.27 MiB', '512 B', '1.50 KiB')
    """
    return f"{'≥ ' if at_least else ''}{_scaled(nbytes, _BYTES, 'B')}"


def share(fraction: float) -> str:
    """A fraction as a percentage.

    >>> share(0.9486), share(0.0), share(0.0004), share(0.99998), share(1.0), share(-0.24)
    ('94.9 %', '0 %', '<0.1 %', '>99.9 %', '100 %', '−24.0 %')
    """
    if fraction < 0:
        return f"−{share(-fraction)}" if fraction > -0.9995 else f"−{-100 * fraction:,.0f} %"
    if fraction in (0, 1):
        return f"{100 * fraction:.0f} %"
    if 0 < fraction < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 <= fraction < 1 else f"{100 * fraction:,.1f} %"


def factor(times: float) -> str:
    """How many times as much, to three significant digits.

    >>> factor(8.4706), factor(16.94), factor(0.4567), factor(1234.5), factor(1.0)
    ('8.47×', '16.9×', '0.457×', '1,234×', '1.00×')
    """
    return f"{decimal(times)}×"


def decimal(value: float) -> str:
    """A number to three significant digits.

    >>> decimal(26.338), decimal(0.4567), decimal(0), decimal(5.0), decimal(1234.5)
    ('26.3', '0.457', '0', '5.00', '1,234')
    """
    if not value:
        return "0"
    size = abs(value)
    digits = 3 if size < 0.9995 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{digits}f}"


def plural(n: int, noun: str) -> str:
    """A number of things.

    >>> plural(1, "layer"), plural(1031, "layer")
    ('1 layer', '1,031 layers')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def shape(sizes: tuple[int, ...]) -> str:
    """A tensor shape.

    >>> shape((1, 56, 56, 64)), shape(())
    ('1×56×56×64', 'scalar')
    """
    return "×".join(map(str, sizes)) if sizes else "scalar"


def printable(text: str) -> str:
    """Text with every control, format and unassigned character spelled out, nothing lost.

    >>> printable('a\\nb'), printable('é|<script>'), printable('\\u202e')
    ('a\\\\nb', 'é|<script>', '\\\\u202e')
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or unicodedata.category(char) == "Zs"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _scaled(n: int, prefixes: tuple[tuple[int, str], ...], unit: str) -> str:
    for factor, prefix in prefixes:
        # 999,500 rounds to 1.00 M, not to 1000 k
        if n * 2000 >= factor * 1999:
            value = n / factor
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {prefix}"
    return f"{n} {unit}".strip()
