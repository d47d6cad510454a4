"""What a Keras model costs, and why: ``costlens.analyze(model_or_target)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from costlens.errors import CostlensError as CostlensError
    from costlens.study import Study as Study
    from costlens.study import analyze as analyze

__version__ = "0.1.0"
__all__ = ["CostlensError", "Study", "__version__", "analyze"]


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used."""
    if name in ("analyze", "Study"):
        import costlens.study as home
    elif name == "CostlensError":
        import costlens.errors as home  # type: ignore[no-redef]
    else:
        raise AttributeError(f"module 'costlens' has no attribute {name!r}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
