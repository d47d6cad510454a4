"""Traced random numbers (values made from nothing) and text (moved, never computed with)."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.operands import tensor
from costlens.frontends.lowering.tf_common import filled, moved, out, table


def _found(b: Builder, call: LayerCall) -> Tree:
    """``LookupTableFind``: a row of the table for every key."""
    keys, made = tensor(b, call.args[1]), out(call)
    return b.gather((keys,), made.shape, made.dtype)


OPS: Mapping[str, Lowering] = {
    **table(
        "RandomUniform RandomUniformInt=random_uniform RandomStandardNormal=random_normal "
        "TruncatedNormal=random_normal ParameterizedTruncatedNormal=random_normal "
        "RandomGamma RandomGammaGrad RandomPoissonV2 Multinomial=categorical "
        "StatelessMultinomial=categorical StatelessRandomUniform=random_uniform "
        "StatelessRandomUniformV2=random_uniform StatelessRandomUniformInt=random_uniform "
        "StatelessRandomUniformIntV2=random_uniform StatelessRandomUniformFullInt=random_uniform "
        "StatelessRandomUniformFullIntV2=random_uniform StatelessRandomNormal=random_normal "
        "StatelessRandomNormalV2=random_normal StatelessTruncatedNormal=random_normal "
        "StatelessTruncatedNormalV2=random_normal StatelessRandomGammaV2=random_gamma "
        "StatelessRandomGammaV3=random_gamma StatelessRandomPoisson=random_poisson "
        "StatelessRandomBinomial=random_binomial "
        "StatelessParameterizedTruncatedNormal=random_normal "
        "NonDeterministicInts=random_uniform RandomIndexShuffle=shuffle "
        "StatelessRandomGetKeyCounter=seed StatelessRandomGetAlg=seed "
        "StatelessRandomGetKeyCounterAlg=seed RngReadAndSkip=seed "
        "SampleDistortedBoundingBoxV2=random_boxes "
        "StatelessSampleDistortedBoundingBox=random_boxes UniformCandidateSampler=candidates "
        "LogUniformCandidateSampler=candidates LearnedUnigramCandidateSampler=candidates "
        "AllCandidateSampler=candidates Timestamp",
        filled,
    ),
    "tf:LookupTableFind": _found,
    "tf:LookupTableFindV2": _found,
    **table(
        "AsString StringFormat StringJoin StringLength StringLower StringUpper StringStrip "
        "StringNGrams StringSplit StringSplitV2 StringToNumber Substr RegexReplace "
        "StaticRegexReplace RegexFullMatch StaticRegexFullMatch ReduceJoin UnicodeTranscode "
        "UnicodeDecode UnicodeScript UnsortedSegmentJoin "
        "StringToHashBucket=hash StringToHashBucketFast=hash StringToHashBucketStrong=hash "
        "Fingerprint=hash DecodeBase64 EncodeBase64",
        moved,
    ),
}
