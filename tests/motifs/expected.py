"""How often each motif occurs, fixed from the source or the paper before any matcher ran.

An architecture's source is the installed ``keras/src/applications/<module>.py``; a figure is
derived from its block arguments or from the paper's table, never from what the matcher prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

#: Every motif; a count says something about all of them, zeros included.
MOTIFS = (
    "mlpconv",
    "inception",
    "bottleneck",
    "depthwise_separable",
    "inverted_residual",
    "fused_inverted_residual",
    "channel_attention",
    "fpn",
    "fire",
    "dense_bottleneck",
    "transition",
    "convnext",
    "transformer_mlp",
    "attention_projection",
    "grouped_pointwise",
)

Counts = Mapping[str, int]


def counts(**found: int) -> Counts:
    """The complete mapping: what is not named does not occur."""
    unknown = set(found) - set(MOTIFS)
    if unknown:
        raise ValueError(f"no such motif: {', '.join(sorted(unknown))}")
    return {motif: found.get(motif, 0) for motif in MOTIFS}


NOTHING = counts()


def _resnet(blocks: tuple[int, int, int, int]) -> Counts:
    """ResNet, arXiv:1512.03385, table 1, and ResNet V2, arXiv:1603.05027: all blocks of the 50,
    101 and 152 layer nets are 1×1, 3×3, 1×1 with an addition around (resnet.py, residual_block_v1
    and _v2). V2 is pre-activated, and the last block of a stage strides its identity with a 1×1
    max pooling. The 1×1s in a row (expand, next reduce) have the addition between them.
    """
    return counts(bottleneck=sum(blocks))


def _densenet(blocks: tuple[int, int, int, int]) -> Counts:
    """DenseNet, arXiv:1608.06993, table 1: DenseNet-B layers (1×1 of 4k, 3×3 of k, onto the map)
    and a transition (1×1, then average pooling) after all dense blocks but the last
    (densenet.py, conv_block and transition_block). No module has two branches beside its
    identity, so that none is an inception.
    """
    return counts(dense_bottleneck=sum(blocks), transition=len(blocks) - 1)


#: EfficientNet, arXiv:1905.11946, table 1 (efficientnet.py, DEFAULT_BLOCKS_ARGS): layers of the
#: MBConv stages 2 to 8 of B0; the first has expansion 1, the others 6; all have se_ratio 0.25.
_EFFICIENTNET_REPEATS = (1, 2, 2, 3, 3, 4, 1)


def _efficientnet(depth: float) -> Counts:
    """Every stage is repeated ceil(depth × repeats) times (round_repeats), each block with its
    gate. The top 1×1 is activated but alone: a linear projection stands before it, the global
    pooling behind.
    """
    blocks = sum(ceil(depth * repeats) for repeats in _EFFICIENTNET_REPEATS)
    return counts(inverted_residual=blocks, channel_attention=blocks)


def _efficientnet_v2(depth: float, fused: tuple[int, ...], mbconv: tuple[int, ...]) -> Counts:
    """EfficientNetV2, arXiv:2104.00298, table 4 (efficientnet_v2.py, DEFAULT_BLOCKS_ARGS).

    ``fused`` are the repeats of the Fused-MBConv stages of expansion 4, which have no gate, and
    ``mbconv`` those of the MBConv stages, which all have one (se_ratio 0.25). The first stage is
    Fused-MBConv of expansion 1: one activated k×k and no 1×1 (FusedMBConvBlock), so no match.
    """
    gated = sum(ceil(depth * repeats) for repeats in mbconv)
    return counts(
        fused_inverted_residual=sum(ceil(depth * repeats) for repeats in fused),
        inverted_residual=gated,
        channel_attention=gated,
    )


#: EfficientNetV2-B0's stages; B1 to B3 scale them.
_V2_B0 = ((2, 2), (3, 5, 8))


def _convnext(depths: tuple[int, int, int, int]) -> Counts:
    """ConvNeXt, arXiv:2201.03545, section 3 (convnext.py, MODEL_CONFIGS): the depthwise 7×7 (a
    Conv2D of as many groups as channels) is not activated, and the addition goes around it and
    both Dense: no separable convolution, no inverted residual, no transformer MLP. Stem and
    downsampling are 4×4 and 2×2.
    """
    return counts(convnext=sum(depths))


def _nasnet(normal_cells: int) -> Counts:
    """NASNet-A, arXiv:1707.07012, figure 4 (nasnet.py): a normal cell has five separable blocks
    (left and right of 1 and 2, left of 5), a reduction cell too (both of 1, right of 2 and 3, left
    of 5); each block applies its separable convolution twice (_separable_conv_block). There are
    three times ``num_blocks`` normal cells and four reduction cells.

    All other convolutions but the stem are lone linear 1×1s: the cells' first ones, and the adjust
    blocks'. No k×k that is not depthwise follows a 1×1, so a cell is no inception, its sum of two
    separable convolutions and ``h`` no bottleneck. The 1×1 of a cell is pooled, but is read by
    separable convolutions too and reads no dense block: no transition. The stem's 3×3 is followed
    by a narrower linear 1×1, but is read by the separable blocks of the same cell as well: its
    width is not inside a block, which would make that a fused inverted residual.
    """
    cells = normal_cells + 4
    return counts(depthwise_separable=cells * 5 * 2)


APPLICATIONS: Mapping[str, Counts] = {
    "ConvNeXtTiny": _convnext((3, 3, 9, 3)),  # 18
    "ConvNeXtSmall": _convnext((3, 3, 27, 3)),  # 36
    "ConvNeXtBase": _convnext((3, 3, 27, 3)),
    "ConvNeXtLarge": _convnext((3, 3, 27, 3)),
    "ConvNeXtXLarge": _convnext((3, 3, 27, 3)),
    "DenseNet121": _densenet((6, 12, 24, 16)),  # 58
    "DenseNet169": _densenet((6, 12, 32, 32)),  # 82
    "DenseNet201": _densenet((6, 12, 48, 32)),  # 98
    # Depth coefficients: the second argument of each constructor.
    "EfficientNetB0": _efficientnet(1.0),  # 1+2+2+3+3+4+1 = 16
    "EfficientNetB1": _efficientnet(1.1),  # 2+3+3+4+4+5+2 = 23
    "EfficientNetB2": _efficientnet(1.2),  # 2+3+3+4+4+5+2 = 23
    "EfficientNetB3": _efficientnet(1.4),  # 2+3+3+5+5+6+2 = 26
    "EfficientNetB4": _efficientnet(1.8),  # 2+4+4+6+6+8+2 = 32
    "EfficientNetB5": _efficientnet(2.2),  # 3+5+5+7+7+9+3 = 39
    "EfficientNetB6": _efficientnet(2.6),  # 3+6+6+8+8+11+3 = 45
    "EfficientNetB7": _efficientnet(3.1),  # 4+7+7+10+10+13+4 = 55
    "EfficientNetV2B0": _efficientnet_v2(1.0, *_V2_B0),  # 2+2 = 4; 3+5+8 = 16
    "EfficientNetV2B1": _efficientnet_v2(1.1, *_V2_B0),  # 3+3 = 6; 4+6+9 = 19
    "EfficientNetV2B2": _efficientnet_v2(1.2, *_V2_B0),  # 3+3 = 6; 4+6+10 = 20
    "EfficientNetV2B3": _efficientnet_v2(1.4, *_V2_B0),  # 3+3 = 6; 5+7+12 = 24
    "EfficientNetV2S": _efficientnet_v2(1.0, (4, 4), (6, 9, 15)),  # 8; 30
    "EfficientNetV2M": _efficientnet_v2(1.0, (5, 5), (7, 14, 18, 5)),  # 10; 44
    "EfficientNetV2L": _efficientnet_v2(1.0, (7, 7), (10, 19, 25, 7)),  # 14; 61
    # Inception-ResNet-v2, arXiv:1602.07261, section 3.2 (inception_resnet_v2.py): mixed_5b, 10
    # block35, mixed_6a, 20 block17, mixed_7a, 10 block8. The 1×1 "up" and its addition belong to
    # the module, which is no bottleneck: a concatenation of branches stands between. In the stem a
    # 1×1 precedes a 3×3, in a single file; conv_7b is one activated 1×1.
    "InceptionResNetV2": counts(inception=1 + 10 + 1 + 20 + 1 + 10),  # 43
    # Inception v3, arXiv:1512.00567, table 1 (inception_v3.py): mixed0 to mixed10, of which mixed3
    # and mixed8 reduce the grid. mixed9 and mixed10 hold two inner concatenations each (15 in
    # all), of 1×3 and 3×1 behind one 1×1 or 3×3: parts of the module, and no fire module, which has
    # a 1×1 beside its k×k.
    "InceptionV3": counts(inception=11),
    # MobileNet, arXiv:1704.04861, table 1 (mobilenet.py): 13 depthwise separable pairs, both halves
    # activated, so that none is an inverted residual; the classifier is a 1×1 on a pooled map.
    "MobileNet": counts(depthwise_separable=13),
    # MobileNetV2, arXiv:1801.04381, table 2: 1+2+3+4+3+3+1 blocks, the first without an expansion
    # (mobilenet_v2.py, block_id 0). The last 1×1 is activated, and alone behind a linear one.
    "MobileNetV2": counts(inverted_residual=1 + 2 + 3 + 4 + 3 + 3 + 1),  # 17
    # MobileNetV3, arXiv:1905.02244, tables 1 and 2 (mobilenet_v3.py, stack_fn): 15 and 11 blocks,
    # of which 3-5 and 10-14, and 0 and 3-10, have a gate. In the head one activated 1×1 stands
    # before the global pooling and one behind it, on a 1×1 map: no mlpconv.
    "MobileNetV3Large": counts(inverted_residual=15, channel_attention=3 + 5),  # 8
    "MobileNetV3Small": counts(inverted_residual=11, channel_attention=1 + 8),  # 9
    "NASNetLarge": _nasnet(3 * 6),  # 22 cells: 220
    "NASNetMobile": _nasnet(3 * 4),  # 16 cells: 160
    "ResNet50": _resnet((3, 4, 6, 3)),  # 16
    "ResNet101": _resnet((3, 4, 23, 3)),  # 33
    "ResNet152": _resnet((3, 8, 36, 3)),  # 50
    "ResNet50V2": _resnet((3, 4, 6, 3)),
    "ResNet101V2": _resnet((3, 4, 23, 3)),
    "ResNet152V2": _resnet((3, 8, 36, 3)),
    # VGG, arXiv:1409.1556, configurations D and E: 3×3 only, and Dense on a flattened map.
    "VGG16": NOTHING,
    "VGG19": NOTHING,
    # Xception, arXiv:1610.02357, figure 5 (xception.py): 2 in each of blocks 2, 3 and 4, 3 in each
    # of the eight middle ones, 2 in each of 13 and 14. Nothing is activated between the two halves,
    # so that none is an inverted residual; the additions go around separable convolutions, with a
    # strided 1×1 on the shortcut of four of them: no bottleneck.
    "Xception": counts(depthwise_separable=3 * 2 + 8 * 3 + 2 + 2),  # 34
}

#: The examples, from the papers that they name.
EXAMPLES: Mapping[str, Counts] = {
    "bottleneck": counts(bottleneck=1),
    "convnext_block": counts(convnext=1),
    "dense_block": counts(dense_bottleneck=6, transition=1),  # DenseNet-121's first
    # VGG's configuration C, made two deep: a 3×3 and two activated 1×1s, as an mlpconv is.
    "depth_by_1x1": counts(mlpconv=1),
    "dimension_reduction": NOTHING,  # one 1×1 that nothing reads
    "feature_fusion": NOTHING,
    # The backbone's bottlenecks and one pyramid of four laterals.
    "fpn": counts(bottleneck=3 + 4 + 6 + 3, fpn=1),
    "fused_mbconv": counts(fused_inverted_residual=1),
    # Table 1: 3a-3b, 4a-4e, 5a-5b. The 1×1 of the stem stands alone before a 3×3.
    "googlenet": counts(inception=2 + 5 + 2),
    "inception_module": counts(inception=1),
    "mbconv": counts(inverted_residual=1),
    "mobilenet": counts(depthwise_separable=13),
    "nin": counts(mlpconv=3),
    "pointwise": NOTHING,
    "resnet50": counts(bottleneck=3 + 4 + 6 + 3),
    "se_resnet50": counts(bottleneck=16, channel_attention=16),
    # Its depthwise and grouped 1×1 are no separable convolution.
    "shufflenet_unit": counts(grouped_pointwise=1),
    # fire2 to fire9. A squeeze and its 1×1 expand are two activated 1×1s in a row, but the squeeze
    # is read by two: no mlpconv, and no inception, whose 1×1 stands inside a branch. conv10 is one.
    "squeezenet": counts(fire=8),
    "transformer_block": counts(transformer_mlp=1, attention_projection=1),
    # Two separable convolutions inside one addition.
    "xception_block": counts(depthwise_separable=2),
}

#: The examples in the other forms that their docstrings speak of.
EXAMPLE_VARIANTS: Mapping[str, Counts] = {
    "mbconv.py:build(expansion=1)": counts(inverted_residual=1),  # as MobileNetV2's first block
    "mbconv.py:build(gate=True)": counts(inverted_residual=1, channel_attention=1),
    "mobilenet.py:build(repeats=0)": counts(depthwise_separable=8),  # five fewer
    "mobilenet.py:build(separable=False)": NOTHING,  # the plain convolutions of table 4
    "resnet50.py:build(stride_on='3x3')": counts(bottleneck=16),
    "squeezenet.py:build(version='1.1')": counts(fire=8),
}
