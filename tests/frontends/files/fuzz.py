"""Files that are damaged in every way, and a reader that may refuse them but never break."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from costlens.cost.registry import price
from costlens.errors import CostlensError

_NUMBERS = (0, 1, -1, 2, 127, 2**31 - 1, -(2**31))


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut short, bytes flipped, numbers replaced, or parts copied over others."""
    found = bytearray(data)
    match rng.randrange(4):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            for _ in range(rng.randrange(1, 6)):
                found[rng.randrange(len(found))] = rng.randrange(256)
        case 2:
            at = rng.randrange(len(found) - 4) & ~3
            found[at : at + 4] = rng.choice(_NUMBERS).to_bytes(4, "little", signed=True)
        case _:
            to, start = rng.randrange(len(found)), rng.randrange(len(found))
            found[to : to + 16] = found[start : start + 16]
    return bytes(found)


def survives(read: Callable[..., Any], file: Path, scratch: Path, times: int) -> int:
    """How many damaged copies of a file are refused; each in one line, none in a second."""
    rng, data, refused = random.Random(file.name), file.read_bytes(), 0
    for _ in range(times):
        scratch.write_bytes(damaged(data, rng))
        start = time.perf_counter()
        try:
            price(read(scratch))
        except CostlensError as error:
            refused += 1
            assert "\n" not in str(error)
            assert len(str(error)) < 2000
        assert time.perf_counter() - start < 2
    return refused
