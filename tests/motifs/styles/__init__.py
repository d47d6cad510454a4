"""Models as other people write them, small: `STYLES` gives each with its complete counts."""

from tests.motifs.styles import (  # noqa: F401 - importing them fills STYLES
    detection,
    growth,
    inception,
    mobile,
    negatives,
    residual,
    sequences,
    tokens,
)
from tests.motifs.styles.base import STYLES, Style

__all__ = ["STYLES", "Style"]
