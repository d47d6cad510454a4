"""Dtype policies, as configs spell them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Policy


def read_policy(dtype: Any, path: str = "") -> Policy:
    """The policy that a config's ``dtype`` entry stands for.

    Takes a name (``"mixed_float16"``, ``"int4/128_from_float32"``), a serialised DTypePolicy,
    QuantizedDTypePolicy or DTypePolicyMap (looked up by the layer's path), None, or a Policy.
    """
    if dtype is None or isinstance(dtype, Policy):
        return dtype or Policy()
    if isinstance(dtype, Mapping):
        config = dtype.get("config") or {}
        if "policy_map" in config:
            return _from_map(config, path)
        if "mode" in config:
            return _quantized(str(config["mode"]), config.get("source_name"), config)
        return read_policy(config.get("name"), path)
    if isinstance(dtype, str) and "_from_" in dtype:
        mode, _, source = dtype.partition("_from_")
        return _quantized(mode, source, {})
    return _named(str(dtype))


def _from_map(config: Mapping[str, Any], path: str) -> Policy:
    """A map's entry for this layer, by exact path or by pattern, as Keras looks it up.

    Keras knows a layer by the path it was built at, which containers made later do not
    prefix: ends of the full path are tried too. A layer that the map does not name has the
    default policy, unquantised.
    """
    entries: Mapping[str, Any] = config["policy_map"]
    parts = path.split("/")
    for ending in ("/".join(parts[start:]) for start in range(len(parts))):
        for key in entries:
            if key == ending or re.fullmatch(key, ending):
                return read_policy(entries[key], path)
    return replace(read_policy(config.get("default_policy"), path), quantization=None)


def _quantized(mode: str, source: Any, config: Mapping[str, Any]) -> Policy:
    """``int8``, ``float8``, ``int4/<block>``, ``gptq/<bits>/<group>``, ``awq/<bits>/<group>``."""
    kind, *numbers = mode.split("/")
    base = _named(source if isinstance(source, str) else "float32")
    group = int(numbers[-1]) if numbers else config.get("block_size")
    return replace(
        base,
        quantization=kind,
        block_size=group if group and group > 0 else None,
        bits=int(numbers[0]) if len(numbers) > 1 else 4,
        history=int(config.get("amax_history_length", 1024)),
    )


def _named(name: str) -> Policy:
    if name.startswith("mixed_"):
        return Policy(compute=name.removeprefix("mixed_"), variable="float32")
    return Policy(compute=name, variable=name)


def computed(lowering: Lowering) -> Lowering:
    """The same lowering for a layer that Keras declares to return its compute dtype.

    Keras says so whatever comes in, an integer tensor too; what follows is built on it.
    """

    def declared(b: Builder, call: LayerCall) -> Tree:
        made = lowering(b, call)
        return b.cast(made, b.policy.compute) if isinstance(made, Tensor) else made

    return declared
