"""What the readers of op-graph files (TensorFlow Lite, ONNX) share: records, folding, lowering."""
