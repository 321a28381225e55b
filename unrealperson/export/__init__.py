"""ONNX files: a run becomes one (`convert`), which gives features (`encoder`) and learns cameras (`calibrate`)."""
