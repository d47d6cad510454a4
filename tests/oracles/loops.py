"""Counters made of nothing but nested loops.

Every function walks over each product that the operation performs and counts it. There is no
closed formula here: output sizes and paddings are found by walking too. The price is speed, so
the shapes have to be small.

``nominal`` counts padded taps, ``valid`` only those that fall on an element of the operation's
own input (for a transposed convolution: whose output position survives the crop).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

Shape = tuple[int, ...]
Ints = int | Sequence[int]
Pads = str | Sequence[tuple[int, int]]
Counts = tuple[int, int, Shape]
Index = tuple[int, ...]
Taps = list[list[tuple[int, bool]]]


def _each(value: Ints, rank: int) -> Shape:
    """One integer per spatial dimension."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _split(shape: Sequence[int], data_format: str) -> tuple[int, Shape, int]:
    """Batch, spatial sizes and channels of an activation shape."""
    if data_format == "channels_first":
        return shape[0], tuple(shape[2:]), shape[1]
    return shape[0], tuple(shape[1:-1]), shape[-1]


def _join(batch: int, spatial: Sequence[int], channels: int, data_format: str) -> Shape:
    """The activation shape that `_split` takes apart."""
    if data_format == "channels_first":
        return (batch, channels, *spatial)
    return (batch, *spatial, channels)


def _window_starts(size: int, before: int, after: int, reach: int, stride: int) -> list[int]:
    """Where a window that reaches `reach` elements further can start in the padded line."""
    starts = []
    at = -before
    while at + reach <= size + after - 1:
        starts.append(at)
        at += stride
    return starts


def _same_pads(size: int, reach: int, stride: int) -> tuple[int, int]:
    """Grow the padding, after first, until there is one window per stride begun."""
    wanted = len(range(0, size, stride))
    before = after = 0
    while len(_window_starts(size, before, after, reach, stride)) < wanted:
        if after == before:
            after += 1
        else:
            before += 1
    return before, after


def _line(
    size: int, kernel: int, stride: int, dilation: int, padding: str | tuple[int, int]
) -> Taps:
    """For each output position along one dimension: (input position, is it real) of every tap."""
    reach = 0
    for _ in range(kernel - 1):
        reach += dilation
    made_before = 0  # padding that a separate op has made: real input to this one
    if not isinstance(padding, str):
        before, after = padding
    elif padding == "valid":
        before, after = 0, 0
    elif padding == "same":
        before, after = _same_pads(size, reach, stride)
    elif padding == "causal":
        before, after, made_before = reach, 0, reach
    else:
        raise ValueError(f"no convolution is padded {padding!r}")
    line = []
    for start in _window_starts(size, before, after, reach, stride):
        taps = []
        for tap in range(kernel):
            at = start + tap * dilation
            taps.append((at, -made_before <= at < size))
        line.append(taps)
    return line


def _lines(
    spatial: Shape, kernel: Shape, strides: Ints, padding: Pads, dilation: Ints
) -> list[Taps]:
    """One `_line` per spatial dimension."""
    rank = len(spatial)
    if padding == "causal" and rank != 1:
        raise ValueError("causal padding is one-dimensional")
    steps, gaps = _each(strides, rank), _each(dilation, rank)
    lines = []
    for axis in range(rank):
        pads = padding if isinstance(padding, str) else padding[axis]
        lines.append(_line(spatial[axis], kernel[axis], steps[axis], gaps[axis], pads))
    return lines


def _windows(lines: list[Taps]) -> Iterator[tuple[Index, list[bool]]]:
    """Each output position with, for each tap of its window, whether it is real."""
    for position in product(*(range(len(line)) for line in lines)):
        taps = product(*(line[at] for line, at in zip(lines, position, strict=True)))
        yield position, [all(real for _, real in tap) for tap in taps]


def conv_hits(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Ints = 1,
    padding: Pads = "valid",
    dilation: Ints = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> tuple[dict[Index, list[int]], Shape]:
    """``{output index: [nominal, valid]}`` products behind every output element, and the shape.

    The kernel is laid out as Keras does: (*k, Cin / groups, Cout).
    """
    batch, spatial, c_in = _split(x_shape, data_format)
    *kernel, group_in, c_out = kernel_shape
    if group_in * groups != c_in or c_out % groups:
        raise ValueError(f"{c_in} to {c_out} channels do not split into {groups} groups")
    lines = _lines(spatial, tuple(kernel), strides, padding, dilation)
    hits: dict[Index, list[int]] = {}
    for image in range(batch):
        for position, taps in _windows(lines):
            for channel in range(c_out):
                count = [0, 0]
                for real in taps:
                    for _ in range(group_in):
                        count[0] += 1
                        if real:
                            count[1] += 1
                hits[_join(image, position, channel, data_format)] = count
    return hits, _join(batch, [len(line) for line in lines], c_out, data_format)


def _total(hits: dict[Index, list[int]], shape: Shape) -> Counts:
    nominal = valid = 0
    for all_taps, real_taps in hits.values():
        nominal += all_taps
        valid += real_taps
    return nominal, valid, shape


def conv_macs(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Ints = 1,
    padding: Pads = "valid",
    dilation: Ints = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> Counts:
    """``(nominal, valid, out_shape)`` of a convolution with a (*k, Cin / groups, Cout) kernel."""
    return _total(
        *conv_hits(x_shape, kernel_shape, strides, padding, dilation, groups, data_format)
    )


def depthwise_hits(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Ints = 1,
    padding: Pads = "valid",
    dilation: Ints = 1,
    data_format: str = "channels_last",
) -> tuple[dict[Index, list[int]], Shape]:
    """As `conv_hits`, for a depthwise kernel (*k, C, multiplier)."""
    batch, spatial, c_in = _split(x_shape, data_format)
    *kernel, channels, multiplier = kernel_shape
    if channels != c_in:
        raise ValueError(f"a kernel of {channels} channels on {c_in}")
    lines = _lines(spatial, tuple(kernel), strides, padding, dilation)
    hits: dict[Index, list[int]] = {}
    for image in range(batch):
        for position, taps in _windows(lines):
            c_out = 0
            for _ in range(channels):
                for _ in range(multiplier):
                    count = [0, 0]
                    for real in taps:
                        count[0] += 1
                        if real:
                            count[1] += 1
                    hits[_join(image, position, c_out, data_format)] = count
                    c_out += 1
    sizes = [len(line) for line in lines]
    return hits, _join(batch, sizes, channels * multiplier, data_format)


def depthwise_macs(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Ints = 1,
    padding: Pads = "valid",
    dilation: Ints = 1,
    data_format: str = "channels_last",
) -> Counts:
    """``(nominal, valid, out_shape)`` of a depthwise convolution, kernel (*k, C, multiplier)."""
    return _total(*depthwise_hits(x_shape, kernel_shape, strides, padding, dilation, data_format))


def _scatter_line(
    size: int, kernel: int, stride: int, dilation: int, padding: str, extra: int | None
) -> tuple[list[list[int]], int]:
    """Where each input element's taps land along one dimension, and how long the output is.

    A landing outside ``range(length)`` is cropped away.
    """
    landings = [[at * stride + tap * dilation for tap in range(kernel)] for at in range(size)]
    last_input = landings[-1][0]
    reach = landings[0][-1] + 1
    if padding == "valid":
        if extra is None:  # each input element owns at least one stride of the output
            length = max(last_input + reach, last_input + stride)
        else:
            length = last_input + reach + extra
        return landings, length
    if padding != "same":
        raise ValueError(f"no transposed convolution is padded {padding!r}")
    length = size * stride if extra is None else last_input + reach % 2 + extra
    cut_before = cut_after = 0
    while last_input + reach - cut_before - cut_after > length:
        if cut_after == cut_before:
            cut_after += 1
        else:
            cut_before += 1
    return [[at - cut_before for at in taps] for taps in landings], length


def conv_transpose_hits(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Ints = 1,
    padding: str = "valid",
    output_padding: Ints | None = None,
    dilation: Ints = 1,
    data_format: str = "channels_last",
) -> tuple[dict[Index, int], int, Shape]:
    """``({output index: products added there}, nominal, out_shape)`` by scattering every input.

    The kernel is laid out as Keras does: (*k, Cout, Cin).
    """
    batch, spatial, c_in = _split(x_shape, data_format)
    *kernel, c_out, kernel_in = kernel_shape
    if kernel_in != c_in:
        raise ValueError(f"a kernel for {kernel_in} channels on {c_in}")
    rank = len(spatial)
    extras = [None] * rank if output_padding is None else list(_each(output_padding, rank))
    steps, gaps = _each(strides, rank), _each(dilation, rank)
    scatter, lengths = [], []
    for size, taps, step, gap, extra in zip(spatial, kernel, steps, gaps, extras, strict=True):
        landings, length = _scatter_line(size, taps, step, gap, padding, extra)
        scatter.append(landings)
        lengths.append(length)
    out_shape = _join(batch, lengths, c_out, data_format)
    hits = dict.fromkeys(product(*(range(size) for size in out_shape)), 0)
    nominal = 0
    for image in range(batch):
        for position in product(*(range(size) for size in spatial)):
            along = (landings[at] for landings, at in zip(scatter, position, strict=True))
            for landed in product(*along):
                kept = all(0 <= at < end for at, end in zip(landed, lengths, strict=True))
                for channel in range(c_out):
                    for _ in range(c_in):
                        nominal += 1
                        if kept:
                            hits[_join(image, landed, channel, data_format)] += 1
    return hits, nominal, out_shape


def conv_transpose_macs(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Ints = 1,
    padding: str = "valid",
    output_padding: Ints | None = None,
    dilation: Ints = 1,
    data_format: str = "channels_last",
) -> Counts:
    """``(nominal, valid, out_shape)`` of a transposed convolution, kernel (*k, Cout, Cin)."""
    hits, nominal, out_shape = conv_transpose_hits(
        x_shape, kernel_shape, strides, padding, output_padding, dilation, data_format
    )
    valid = 0
    for landed in hits.values():
        valid += landed
    return nominal, valid, out_shape


def _einsum_terms(
    equation: str, left: Sequence[int], right: Sequence[int]
) -> tuple[list[str], str, dict[str, int]]:
    """Both operands' labels, the output's, and every label's size.

    Ellipses broadcast, on the left of the output where the output is not spelt out. Digits, which
    are no labels, stand for their axes.
    """
    terms, arrow, output = equation.replace(" ", "").partition("->")
    pairs = list(zip(terms.split(","), (left, right), strict=True))
    hidden = [len(s) - len(t.replace("...", "")) if "..." in t else 0 for t, s in pairs]
    dots = "0123456789"[: max(hidden)]
    spelt = [
        term.replace("...", dots[len(dots) - count :])
        for (term, _), count in zip(pairs, hidden, strict=True)
    ]
    letters = [label for label in "".join(spelt) if label.isalpha()]
    if arrow:
        out = output.replace("...", dots)
    else:
        out = dots + "".join(sorted(label for label in letters if letters.count(label) == 1))
    sizes: dict[str, int] = {}
    for term, shape in zip(spelt, (left, right), strict=True):
        for label, size in zip(term, shape, strict=True):
            known = sizes.setdefault(label, size)
            if size != known and 1 not in (size, known):
                raise ValueError(f"label {label!r} is both {known} and {size} in {equation!r}")
            sizes[label] = max(size, known)
    return spelt, out, sizes


def einsum_hits(equation: str, left: Sequence[int], right: Sequence[int]) -> dict[Index, int]:
    """``{output index: terms summed there}``: one for each assignment of values to all labels."""
    _, out, sizes = _einsum_terms(equation, left, right)
    hits: dict[Index, int] = {}
    for values in product(*(range(size) for size in sizes.values())):
        at = dict(zip(sizes, values, strict=True))
        index = tuple(at[label] for label in out)
        hits[index] = hits.get(index, 0) + 1
    return hits


def einsum_macs(equation: str, *shapes: Sequence[int], lone_first: bool = True) -> int:
    """Products of a two-operand einsum: one for each assignment of values to its labels.

    A label that one operand alone has is summed away before anything is multiplied, as numpy,
    XLA and TensorFlow do; with ``lone_first=False`` it multiplies like the others.
    """
    left, right = shapes
    (first, second), out, sizes = _einsum_terms(equation, left, right)
    shared = set(first) & set(second) | set(out)
    kept = [size for label, size in sizes.items() if label in shared or not lone_first]
    macs = 0
    for _ in product(*(range(size) for size in kept)):
        macs += 1
    return macs


def pool_ops(
    x_shape: Sequence[int],
    pool_size: Ints,
    strides: Ints | None = None,
    padding: Pads = "valid",
    data_format: str = "channels_last",
) -> Counts:
    """``(nominal, valid, out_shape)`` comparisons or additions of a pooling layer.

    The first tap of a window is taken as it is and each further tap costs one operation.
    """
    batch, spatial, channels = _split(x_shape, data_format)
    window = _each(pool_size, len(spatial))
    lines = _lines(spatial, window, window if strides is None else strides, padding, 1)
    nominal = valid = 0
    for _ in range(batch):
        for _, taps in _windows(lines):
            for _ in range(channels):
                seen = real_seen = False
                for real in taps:
                    if seen:
                        nominal += 1
                    seen = True
                    if real:
                        if real_seen:
                            valid += 1
                        real_seen = True
    return nominal, valid, _join(batch, [len(line) for line in lines], channels, data_format)
