"""Attributes of other modules, replaced for a while."""

from __future__ import annotations

from typing import Any

_ABSENT = object()


class Patches:
    """Replaced attributes and items, put back in reverse order by ``undo``."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, Any, Any, bool]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute, or add one; a class keeps the descriptor that it had."""
        before = vars(owner).get(name, _ABSENT) if hasattr(owner, "__dict__") else _ABSENT
        if before is _ABSENT and not isinstance(owner, type) and hasattr(owner, name):
            before = getattr(owner, name)
        setattr(owner, name, value)
        self._done.append((owner, name, before, False))

    def item(self, mapping: Any, key: Any, value: Any) -> None:
        """Replace or add an item of a dict."""
        self._done.append((mapping, key, mapping.get(key, _ABSENT), True))
        mapping[key] = value

    def undo(self) -> None:
        """Put everything back."""
        while self._done:
            owner, name, before, is_item = self._done.pop()
            if is_item and before is _ABSENT:
                owner.pop(name, None)
            elif is_item:
                owner[name] = before
            elif before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
