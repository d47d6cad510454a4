"""What the styles share: the registry, and a name for Keras's symbolic tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from tests.motifs.expected import Counts, counts

Tensor = Any
Builder = Callable[[], keras.Model]


@dataclass(frozen=True)
class Style:
    """A builder, and what its model holds; the reason for a count is the builder's docstring."""

    build: Builder
    expected: Counts


STYLES: dict[str, Style] = {}


def style(**found: int) -> Callable[[Builder], Builder]:
    """Put a builder into `STYLES` under its own name; motifs that are not named occur nowhere."""

    def register(build: Builder) -> Builder:
        if build.__name__ in STYLES:
            raise ValueError(f"two styles are called {build.__name__}")
        STYLES[build.__name__] = Style(build, counts(**found))
        return build

    return register
