"""Traced linear algebra and Fourier transforms: one opaque node each, with its storage."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.operands import tensors
from costlens.frontends.lowering.tf_common import opaque, table


def _cross(b: Builder, call: LayerCall) -> Tree:
    """a × b of vectors of three: six products and three differences each."""
    x, y = tensors(b, call)
    ahead = b.binary("multiply", x, b.rearrange("roll", y, y.shape))
    behind = b.binary("multiply", b.rearrange("roll", x, x.shape), y)
    return b.rearrange("roll", b.binary("subtract", ahead, behind), x.shape)


def _banded_product(b: Builder, call: LayerCall) -> Tree:
    """``TridiagonalMatMul``: three diagonals times the rows of the right side."""
    upper, middle, lower, right = tensors(b, call)
    total = None
    for diagonal in (upper, middle, lower):
        column = b.reshape(diagonal, (*diagonal.shape[:-2], diagonal.shape[-1], 1))
        product = b.binary("multiply", column, right)
        total = product if total is None else b.binary("add", total, product)
    return total


OPS: Mapping[str, Lowering] = {
    "tf:Cross": _cross,
    "tf:TridiagonalMatMul": _banded_product,
    **table(
        "Cholesky CholeskyGrad=cholesky_gradient Qr Svd SelfAdjointEigV2=eigh Eig "
        "MatrixInverse=inv MatrixSolve=solve MatrixSolveLs=lstsq "
        "MatrixTriangularSolve=solve_triangular BandedTriangularSolve=solve_triangular "
        "TridiagonalSolve MatrixDeterminant=det LogMatrixDeterminant=slogdet Lu=lu_factor "
        "MatrixLogarithm MatrixSquareRoot Betainc IgammaGradA",
        opaque,
    ),
    **table(
        "FFT=fft FFT2D=fft2 FFT3D=fft3 FFTND=fftn IFFT=ifft IFFT2D=ifft2 IFFT3D=ifft3 IFFTND=ifftn "
        "RFFT=rfft RFFT2D=rfft2 RFFT3D=rfft3 RFFTND=rfftn IRFFT=irfft IRFFT2D=irfft2 "
        "IRFFT3D=irfft3 IRFFTND=irfftn",
        opaque,
    ),
    **table("CTCLoss=ctc_loss CTCLossV2=ctc_loss", opaque),
    **table("CTCGreedyDecoder=ctc_decode CTCBeamSearchDecoder=ctc_decode", opaque),
}
