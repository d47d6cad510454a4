"""What a file stores of a model's variables: names, shapes and dtypes, never values.

In an archive Keras writes a model's layers under ``layers/<class name in snake case>``, numbered
from the second of a class on, and a layer's own variables under ``vars`` and those of its parts
beside that. In an HDF5 file a layer's variables are under its name, and so are those of a whole
model inside the model.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from costlens.frontends.layercall import Stored
from costlens.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Held:
    """One group of a file: its own variables, and the groups inside.

    ``by_name`` says that the groups are layers, by their names.
    """

    variables: Mapping[str, TensorType] = field(default_factory=dict)
    groups: Mapping[str, Held] = field(default_factory=dict)
    by_name: bool = False

    def places(self) -> Places:
        """Where a model's layers are stored, in their order."""
        return Places(self if self.by_name else self.groups.get("layers", _NOTHING))

    def merged(self) -> Held:
        """The same, with what is under ``vars`` as the group's own."""
        groups = {name: group.merged() for name, group in self.groups.items()}
        own = groups.pop("vars", self)
        return Held(own.variables, groups)

    def at(self, path: str) -> Held | None:
        """The group at a path below."""
        held: Held | None = self
        for name in path.split("/"):
            held = held and held.groups.get(name)
        return held

    def stored(self, identity: Hashable) -> tuple[Stored, ...]:
        """The variables of one layer, its parts included. No file says which are trainable."""
        return tuple(Stored(path, type_, None, (identity, path)) for path, type_ in self._all(""))

    def size(self) -> int:
        """Numbers that are stored in all, without the states of random generators."""
        return sum(type_.size for _, type_ in self._all(""))

    def _all(self, path: str) -> Iterator[tuple[str, TensorType]]:
        if path and not self.groups and _is_seed(self.variables):
            return
        for name, type_ in self.variables.items():
            yield f"{path}{name}", type_
        for name, group in self.groups.items():
            yield from group._all(f"{path}{name}/")


_NOTHING = Held()


def _is_seed(variables: Mapping[str, TensorType]) -> bool:
    """Whether a group is a seed generator: one variable of two integers."""
    types = list(variables.values())
    return len(types) == 1 and types[0].shape == (2,) and "int" in types[0].dtype


@dataclass(slots=True)
class Places:
    """Hands out a model's groups layer by layer, as Keras names them."""

    held: Held
    met: dict[str, int] = field(default_factory=dict)

    def next(self, class_name: str, layer: str) -> Held | None:
        """What is stored for the next layer of this class, which has this name."""
        if self.held.by_name:
            return self.held.at(layer)
        name = _snake_case(class_name)
        count = self.met[name] = self.met.get(name, -1) + 1
        return self.held.groups.get(f"{name}_{count}" if count else name)


def _snake_case(name: str) -> str:
    """As Keras spells a class in a path."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
