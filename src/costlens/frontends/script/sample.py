"""A few samples that stand for a data set, forgiving where a script counts on the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class Sample(np.ndarray):
    """An array whose first axis is shorter than the data's own.

    A row beyond the end is another row, a slice beyond it is the last row, and a reshape to the
    data's own length takes the length that is here.
    """

    def __getitem__(self, key: Any) -> Any:
        key = _within(key, len(self)) if self.ndim else key
        made = super().__getitem__(key)
        if isinstance(made, np.ndarray) and made.ndim == self.ndim and not len(made) and len(self):
            return super().__getitem__(slice(-1, None))
        return made

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if not array.ndim else array.view(Sample)

    def __iter__(self) -> Iterator[Any]:
        for i in range(len(self)):
            yield super().__getitem__(i)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """As numpy's; a first size that does not fit is replaced by the one that does."""
        try:
            return super().reshape(*shape, **kwargs)
        except ValueError:
            sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
            first = len(self) if -1 in sizes[1:] else -1
            return super().reshape(first, *sizes[1:], **kwargs)


def _within(key: Any, length: int) -> Any:
    first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, None)
    if isinstance(first, (int, np.integer)) and not isinstance(first, (bool, np.bool_)):
        first = int(first) % length if length else first
    elif isinstance(first, list) or (isinstance(first, np.ndarray) and first.dtype != bool):
        indices = np.asarray(first)
        if indices.size and indices.dtype.kind in "iu" and length:
            first = indices % length
    elif isinstance(first, np.ndarray) and first.ndim == 1 and len(first) != length:
        first = np.resize(first, length)
    return first if rest is None else (first, *rest)
