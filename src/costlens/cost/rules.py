"""Every cost rule: a pure function from a call's types and attributes to its op vector.

Bytes are not a rule's business: they follow from the operands and outputs of any op.
"""

from __future__ import annotations

from math import prod

from costlens.cost.cost import ZERO, Call, Cost
from costlens.cost.functions import BINARY, UNARY
from costlens.ir.ops import channel_axis, label_sizes, spatial_axes


def hits(positions: int, limit: int, taps: int, stride: int, dilation: int, shift: int) -> int:
    """How many (position, tap) pairs land in 0 ≤ position·stride + tap·dilation - shift < limit.

    Positions and taps may change places, so that only the fewer are gone through.
    """
    if taps > positions:
        positions, taps, stride, dilation = taps, positions, dilation, stride
    total = 0
    for tap in range(taps):
        offset = tap * dilation - shift
        first = max(0, -(offset // stride))
        last = min(positions - 1, (limit - 1 - offset) // stride)
        total += max(0, last - first + 1)
    return total


def conv(call: Call) -> Cost:
    """Convolution: output positions × kernel taps × Cin/groups × Cout (Dumoulin & Visin 2016).

    The valid count drops the taps that fall on padding, axis by axis.
    """
    x, kernel = call.operands
    attrs, last = call.attrs, call.attrs["channels_last"]
    axes = spatial_axes(x.rank, last)
    taps = kernel.shape[: len(axes)]
    channels = x.shape[0] * kernel.shape[-2] * kernel.shape[-1]
    on_input = [
        hits(call.out.shape[axis], x.shape[axis], k, s, d, pad[0])
        for axis, k, s, d, pad in zip(
            axes, taps, attrs["strides"], attrs["dilation"], attrs["padding"], strict=True
        )
    ]
    positions = prod(call.out.shape[axis] for axis in axes)
    return Cost(macs=positions * prod(taps) * channels, macs_valid=prod(on_input) * channels)


def conv_transpose(call: Call) -> Cost:
    """Transposed convolution: input positions × kernel taps × Cin × Cout/groups.

    Each input element is multiplied by every tap; the valid count drops the products whose
    output position is cropped.
    """
    x, kernel = call.operands
    attrs, last = call.attrs, call.attrs["channels_last"]
    axes = spatial_axes(x.rank, last)
    taps = kernel.shape[: len(axes)]
    channels = x.shape[0] * kernel.shape[-2] * kernel.shape[-1]
    kept = [
        hits(x.shape[axis], call.out.shape[axis], k, s, d, crop[0])
        for axis, k, s, d, crop in zip(
            axes, taps, attrs["strides"], attrs["dilation"], attrs["crop"], strict=True
        )
    ]
    positions = prod(x.shape[axis] for axis in axes)
    return Cost(macs=positions * prod(taps) * channels, macs_valid=prod(kept) * channels)


def einsum(call: Call) -> Cost:
    """Contraction of two operands: the product of the sizes of all its labels."""
    macs = prod(label_sizes(call.operands, call.attrs["equation"]).values())
    return Cost(macs=macs, macs_valid=macs)


def unary(call: Call) -> Cost:
    """Elementwise function: its cost per element × elements."""
    return UNARY[call.attrs["fn"]] * call.out.size


def binary(call: Call) -> Cost:
    """Broadcasting elementwise function: its cost per element × output elements."""
    return BINARY[call.attrs["fn"]] * call.out.size


def batch_norm(call: Call) -> Cost:
    """Batch normalisation at inference: one multiplication and one addition per element.

    The scale gamma/√(var+ε) and the shift are per-channel constants (Ioffe & Szegedy 2015).
    """
    return Cost(muls=call.out.size, adds=call.out.size)


def norm(call: Call) -> Cost:
    """Normalisation by the input's own statistics, over groups of m elements.

    layer, group: mean (m-1 adds, 1 div), variance (m subs, m squares, m-1 adds, 1 div), ε and
    rsqrt (1 add, 1 transcendental), then one multiplication per element. rms: the same without
    the mean. unit: without ε. Scale and offset are one multiplication and one addition more.
    """
    n, attrs = call.x.size, call.attrs
    m = prod(call.x.shape[axis] for axis in attrs["axes"]) // attrs.get("groups", 1)
    lanes = n // m if m else 0
    square = Cost(muls=n, adds=n - lanes, divs=lanes)
    cost = square + Cost(adds=lanes, transcendentals=lanes, muls=n)
    if attrs["fn"] in ("layer", "group"):
        cost += Cost(adds=(n - lanes) + n, divs=lanes)
    if attrs["fn"] == "unit":
        cost += Cost(adds=-lanes, divs=-lanes, comparisons=lanes)
    scale, center = n * bool(attrs.get("scale")), n * bool(attrs.get("center"))
    return cost + Cost(muls=scale, adds=center)


def softmax(call: Call) -> Cost:
    """Softmax per lane of n: n-1 comparisons, n subtractions, n exp, n-1 additions, n divisions.

    log_softmax takes one logarithm per lane and a subtraction per element in place of the
    divisions.
    """
    n, axis = call.x.size, call.attrs["axis"]
    width = prod(call.x.shape[a] for a in (axis if isinstance(axis, tuple) else (axis,)))
    lanes = n // width if width else 0
    cost = Cost(comparisons=n - lanes, adds=n + n - lanes, transcendentals=n)
    if call.attrs.get("fn") == "log_softmax":
        return cost + Cost(transcendentals=lanes, adds=n)
    return cost + Cost(divs=n)


_REDUCE = {
    "sum": "adds", "mean": "adds", "prod": "muls", "max": "comparisons", "min": "comparisons",
    "all": "comparisons", "any": "comparisons", "argmax": "comparisons",
    "argmin": "comparisons",
}  # fmt: skip


def reduce(call: Call) -> Cost:
    """Reduction of lanes of m elements: m-1 operations each; a mean adds one division.

    var: mean, then m subtractions, m squares, m-1 additions, one division; std: a root more.
    logsumexp: m-1 comparisons, m subtractions, m exp, m-1 additions, one log, one addition.
    count_nonzero compares each element that is not a truth value already.
    """
    n, fn = call.x.size, call.attrs["fn"]
    lanes = n // (prod(call.x.shape[axis] for axis in call.attrs["axes"]) or 1)
    if fn in ("var", "std"):
        cost = Cost(adds=2 * (n - lanes) + n, muls=n, divs=2 * lanes)
        return cost + Cost(transcendentals=lanes * (fn == "std"))
    if fn == "logsumexp":
        return Cost(comparisons=n - lanes, adds=n + n - lanes + lanes, transcendentals=n + lanes)
    if fn == "count_nonzero":
        return Cost(adds=n - lanes, comparisons=n * (call.x.dtype != "bool"))
    return Cost(**{_REDUCE[fn]: n - lanes}, divs=lanes * (fn == "mean"))


_CUMULATIVE = {"cumsum": "adds", "cumprod": "muls", "cummax": "comparisons"}


def cumulative(call: Call) -> Cost:
    """Running operation along an axis of m elements: m-1 per lane."""
    m = call.x.shape[call.attrs["axis"]]
    return Cost(**{_CUMULATIVE[call.attrs["fn"]]: call.x.size - (call.x.size // m if m else 0)})


def pool(call: Call) -> Cost:
    """Pooling: a window of k elements costs k-1 operations per output element."""
    work = (prod(call.attrs["window"]) - 1) * call.out.size
    return Cost(comparisons=work) if call.attrs["fn"] == "max" else Cost(adds=work)


def covers(size: int, parts: int) -> int:
    """How many elements of a line its equal parts touch, summed over the parts."""
    return sum(-(-(i + 1) * size // parts) - i * size // parts for i in range(parts))


def adaptive_pool(call: Call) -> Cost:
    """Adaptive pooling: output i averages inputs ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉; k-1 each."""
    last = call.attrs["channels_last"]
    axes = spatial_axes(call.x.rank, last)
    covered = [covers(call.x.shape[axis], call.out.shape[axis]) for axis in axes]
    lanes = call.x.shape[0] * call.x.shape[channel_axis(call.x.rank, last)]
    work = prod(covered) * lanes - call.out.size
    return Cost(comparisons=work) if call.attrs["fn"] == "max" else Cost(adds=work)


_TAPS = {"bilinear": 2, "bicubic": 4, "lanczos3": 6, "lanczos5": 10}


def resize(call: Call) -> Cost:
    """Interpolation from t taps per axis: t^axes multiplications and one fewer additions.

    Nearest takes one tap and computes nothing. Never MACs. With antialiasing on a smaller
    output the kernel is as much wider as the input is larger, and covers as many more taps;
    area weights the elements that an output element lies over.
    """
    attrs, last, method = call.attrs, call.attrs["channels_last"], call.attrs["method"]
    if method == "nearest":
        return ZERO
    reads = call.x.shape[0] * call.x.shape[channel_axis(call.x.rank, last)]
    for axis in spatial_axes(call.x.rank, last):
        n, m = call.x.shape[axis], call.out.shape[axis]
        if method == "area":
            reads *= covers(n, m)
            continue
        taps = _TAPS[method]
        if attrs.get("antialias") and n > m > 0:
            taps = -(-taps * n // m)
        reads *= m * min(n, taps)
    return Cost(muls=reads, adds=reads - call.out.size)


def scatter(call: Call) -> Cost:
    """Scatter with accumulation: one operation per update element and place that it goes to.

    A plain write costs none; a weighted addition one multiplication more.
    """
    fn, n = call.attrs.get("fn", "set"), call.operands[-1].size * call.attrs.get("places", 1)
    if fn == "weighted":
        return Cost(adds=n, muls=n)
    return {"add": Cost(adds=n), "multiply": Cost(muls=n)}.get(
        fn, Cost(comparisons=n) if fn in ("max", "min") else ZERO
    )
