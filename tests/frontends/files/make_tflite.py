"""Writes the .tflite files beside this script: ``python -m tests.frontends.files.make_tflite``.

TensorFlow's converter makes them from the Keras models of ``models.py``, with weights that all
differ (it stores equal ones once). ``_variables`` are converted without freezing the weights,
``_int8`` with full integer quantisation, ``_half`` with float16 weights, ``_open`` with the batch
left open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tests.frontends.files.models import MODELS

HERE = Path(__file__).parent


def concrete(model: keras.Model, batch: int | None) -> object:
    """The model as one TensorFlow function, its weights all different."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(rng.uniform(0.5, 1.0, weight.shape))
    specs = [tf.TensorSpec((batch, *x.shape[1:]), x.dtype, name=x.name) for x in model.inputs]

    def call(*xs: object) -> object:
        return model(xs[0] if len(xs) == 1 else list(xs), training=False)

    return tf.function(call).get_concrete_function(*specs)


def convert(model: keras.Model, batch: int | None = 1, form: str = "") -> bytes:
    """The bytes of a .tflite file."""
    function = concrete(model, batch)
    frozen = function if form == "variables" else convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)
    if form in ("int8", "half"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "half":
        converter.target_spec.supported_types = [tf.float16]
    if form == "int8":
        converter.representative_dataset = lambda: _samples(model)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def _samples(model: keras.Model) -> Iterator[list[np.ndarray]]:
    rng = np.random.default_rng(1)
    for _ in range(4):
        yield [rng.random((1, *x.shape[1:]), "float32") for x in model.inputs]


def control() -> bytes:
    """A loop of five steps, and a branch that the input decides."""
    kernel = tf.constant(np.random.default_rng(2).random((6, 6), "float32"))
    wide = tf.constant(np.random.default_rng(3).random((6, 30), "float32"))

    def call(x: tf.Tensor) -> tf.Tensor:
        _, x = tf.while_loop(lambda i, _: i < 5, lambda i, x: (i + 1, tf.matmul(x, kernel)), (0, x))
        big = lambda: tf.matmul(tf.nn.relu(tf.matmul(x, wide)), wide, transpose_b=True)  # noqa: E731
        return tf.cond(tf.reduce_sum(x) > 0, big, lambda: tf.matmul(x, kernel))

    function = tf.function(call).get_concrete_function(tf.TensorSpec((4, 6)))
    return tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()


def operators() -> bytes:
    """Operators that no Keras model of these has."""

    def call(x: tf.Tensor, i: tf.Tensor) -> list[tf.Tensor]:
        values, _ = tf.math.top_k(x, 3)
        blocks = tf.nn.depth_to_space(tf.nn.space_to_depth(x[None, :, :, None], 2), 2)
        return [
            tf.argmax(x, -1),
            values,
            tf.gather(x, i, axis=1),
            tf.gather_nd(x, i[:, None]),
            tf.one_hot(i, 7),
            tf.cumsum(x, 1),
            tf.reverse(x, [1]),
            blocks,
            tf.image.resize(blocks, (5, 9)),
            tf.nn.l2_normalize(x, -1),
            tf.nn.local_response_normalization(blocks * tf.ones((1, 1, 1, 6)), 2),
            tf.reduce_any(x > 0, 1),
            tf.nn.log_softmax(x),
            tf.pad(x, [[1, 1], [0, 2]], "REFLECT"),
            tf.scatter_nd(i[:, None], x, (9, 6)),
            tf.unstack(x, axis=0)[1] + tf.cast(i[0], "float32"),
            tf.broadcast_to(x[None], (3, 4, 6)),
            tf.math.floormod(i, 3) // 2,
            tf.math.squared_difference(x, 0.5) + tf.sin(x) * tf.math.rsqrt(x),
            tf.split(x, [1, 3, 2], axis=1)[1],
            tf.nn.elu(x) + tf.nn.relu6(x) - tf.pow(x, 2.5),
        ]

    specs = [tf.TensorSpec((4, 6), name="x"), tf.TensorSpec((4,), "int32", name="i")]
    function = tf.function(call).get_concrete_function(*specs)
    return tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()


def unread() -> bytes:
    """An operator of TensorFlow's own, which TensorFlow Lite has not."""
    kernel = tf.constant(np.random.default_rng(4).random((3, 3, 3, 2, 4), "float32"))

    def call(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool3d(tf.nn.conv3d(x, kernel, [1] * 5, "VALID"), 2, 2, "VALID")

    function = tf.function(call).get_concrete_function(tf.TensorSpec((1, 6, 6, 6, 2)))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS, sets.SELECT_TF_OPS]
    return converter.convert()


def sequences() -> bytes:
    """Operators that today's converter does not write: a recurrent layer as one operator."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    buffers, tensors = [schema.BufferT()], []

    def tensor(*shape: int, data: bool = False, variable: bool = False) -> int:
        found = schema.TensorT()
        found.shape, found.type = list(shape), schema.TensorType.FLOAT32
        found.name, found.isVariable, found.hasRank = f"t{len(tensors)}", variable, True
        found.buffer = 0
        if data:
            found.buffer = len(buffers)
            buffers.append(schema.BufferT())
            buffers[-1].data = np.zeros(shape, "float32").tobytes()
        tensors.append(found)
        return len(tensors) - 1

    def operator(code: int, kind: str, options: object, inputs: list[int], output: int) -> object:
        found = schema.OperatorT()
        found.opcodeIndex, found.inputs, found.outputs = code, inputs, [output]
        found.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        found.builtinOptions = options
        return found

    x, y, z = tensor(2, 7, 5), tensor(2, 7, 6), tensor(2, 7, 3)
    lstm = schema.UnidirectionalSequenceLSTMOptionsT()
    lstm.fusedActivationFunction = schema.ActivationFunctionType.TANH
    kernels = [tensor(6, n, data=True) for n in (5, 5, 5, 5, 6, 6, 6, 6)]
    peepholes = [tensor(6, data=True) for _ in range(3)]
    biases = [tensor(6, data=True) for _ in range(4)]
    states = [tensor(2, 6, variable=True) for _ in range(2)]
    first = [x, *kernels, *peepholes, *biases, -1, -1, *states, -1, -1, -1, -1]
    rnn = schema.SequenceRNNOptionsT()
    rnn.fusedActivationFunction = schema.ActivationFunctionType.RELU
    second = [y, tensor(3, 6, data=True), tensor(3, 3, data=True), tensor(3, data=True)]
    second.append(tensor(2, 3, variable=True))
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.name = tensors, [x], [z], "main"
    graph.operators = [
        operator(0, "UnidirectionalSequenceLSTMOptions", lstm, first, y),
        operator(1, "SequenceRNNOptions", rnn, second, z),
    ]
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], buffers
    codes = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN")
    for name in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        model.operatorCodes = [*(model.operatorCodes or []), code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Write every file."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for name, build in MODELS.items():
        (HERE / f"{name}.tflite").write_bytes(convert(build()))
    cnn = MODELS["cnn"]
    for form in ("variables", "int8", "half"):
        (HERE / f"cnn_{form}.tflite").write_bytes(convert(cnn(), 1, form))
    (HERE / "cnn_open.tflite").write_bytes(convert(cnn(), None))
    (HERE / "transformer_open.tflite").write_bytes(convert(MODELS["transformer"](), None))
    (HERE / "operators.tflite").write_bytes(operators())
    (HERE / "sequences.tflite").write_bytes(sequences())
    (HERE / "unread.tflite").write_bytes(unread())
    (HERE / "control.tflite").write_bytes(control())


if __name__ == "__main__":
    main()
