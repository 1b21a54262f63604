"""The neural engine: ONNX swappers and what belongs to them."""
