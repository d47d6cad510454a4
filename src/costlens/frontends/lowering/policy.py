"""Dtype policies, as configs spell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Policy


def read_policy(dtype: Any, path: str = "") -> Policy:
    """The policy that a config's ``dtype`` entry stands for.

    Takes a name (``"mixed_float16"``, ``"int8_from_float32"``), a serialised DTypePolicy,
    QuantizedDTypePolicy or DTypePolicyMap (looked up by the layer's path), or None.
    """
    if dtype is None:
        return Policy()
    if isinstance(dtype, Mapping):
        config = dtype.get("config") or {}
        if "policy_map" in config:
            found = config["policy_map"].get(path, config.get("default_policy"))
            return read_policy(found, path)
        if "mode" in config:
            name = config.get("source_name") or "float32"
            base = _named(name if isinstance(name, str) else "float32")
            mode, _, rest = str(config["mode"]).partition("/")
            return Policy(base.compute, base.variable, mode, _block(config, rest))
        return read_policy(config.get("name"), path)
    if isinstance(dtype, str) and "_from_" in dtype:
        mode, _, source = dtype.partition("_from_")
        base = _named(source)
        mode, _, rest = mode.partition("/")
        return Policy(base.compute, base.variable, mode, _block({}, rest))
    return _named(str(dtype))


def _named(name: str) -> Policy:
    if name.startswith("mixed_"):
        return Policy(compute=name.removeprefix("mixed_"), variable="float32")
    return Policy(compute=name, variable=name)


def _block(config: Mapping[str, Any], rest: str) -> int | None:
    if config.get("block_size") is not None:
        return int(config["block_size"])
    return int(rest) if rest.lstrip("-").isdigit() else None


def computed(lowering: Lowering) -> Lowering:
    """The same lowering for a layer that Keras declares to return its compute dtype.

    Keras says so whatever comes in, an integer tensor too; what follows is built on it.
    """

    def declared(b: Builder, call: LayerCall) -> Tree:
        made = lowering(b, call)
        return b.cast(made, b.policy.compute) if isinstance(made, Tensor) else made

    return declared
