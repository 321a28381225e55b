"""What goes before the network in an exported file: the camera's row of the tables, and pixels to the network's input.

The resize is Pillow's bilinear filter as two products with matrices that the graph makes from the image's size: the
same picture as everywhere else in this package, to one level of 255 where Pillow takes the directions in the other
order, and no operator that a runtime may lack.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import compose, parser

PIXELS, NORMALISED, CAMERA, ROWS, FEATURES = "images", "normalised", "camera", "rows", "features"
KNOWN_CAMERAS = "known_cameras"
"""Initializer [1] int64: how many rows of the tables are a camera's; the row after them is that of the others."""

_ROWS = """
    below = Less(camera, nothing)
    above = GreaterOrEqual(camera, known_cameras)
    unknown = Or(below, above)
    rows = Where(unknown, known_cameras, camera)
"""
_INPUT_AS_IT_IS = "normalised = Identity(images)"
_PLANES = """
    pixels = Cast<to = 1>(images)
    planes = Transpose<perm = [0, 3, 1, 2]>(pixels)
"""
_RESIZE_AXIS = """
    {axis}_shape = Shape<start = {position}, end = {stop}>(images)
    {axis}_size = Squeeze({axis}_shape)
    {axis}_length = Cast<to = 1>({axis}_shape)
    {axis}_out = Constant<value = float[1] {{{out}}}>()
    {axis}_scale = Div({axis}_length, {axis}_out)
    {axis}_reach = Max({axis}_scale, one)
    {axis}_numbers = Constant<value = float[{out}, 1] {{{centers}}}>()
    {axis}_center = Mul({axis}_numbers, {axis}_scale)
    {axis}_range = Range(first, {axis}_size, step)
    {axis}_places = Cast<to = 1>({axis}_range)
    {axis}_middle = Add({axis}_places, half)
    {axis}_offset = Sub({axis}_middle, {axis}_center)
    {axis}_away = Abs({axis}_offset)
    {axis}_part = Div({axis}_away, {axis}_reach)
    {axis}_left = Sub(one, {axis}_part)
    {axis}_tent = Relu({axis}_left)
    {axis}_sum = ReduceSum<keepdims = 1>({axis}_tent, last)
    {axis}_weights = Div({axis}_tent, {axis}_sum)
"""
_RESIZE = """
    half = Constant<value = float[1] {0.5}>()
    one = Constant<value = float[1] {1.0}>()
    first = Constant<value = int64 {0}>()
    step = Constant<value = int64 {1}>()
    last = Constant<value = int64[1] {1}>()
"""
# Pillow works along rows first and rounds to 8 bits after each direction, halves upwards.
_APPLY = """
    across = Transpose(x_weights)
    wide = MatMul(planes, across)
    wide_up = Add(wide, half)
    wide_8bit = Floor(wide_up)
    tall = MatMul(y_weights, wide_8bit)
    tall_up = Add(tall, half)
    resized = Floor(tall_up)
"""
_NORMALISE = """
    mean = Constant<value = float[1] {{{mean}}}>()
    std = Constant<value = float[1] {{{std}}}>()
    centred = Sub({source}, mean)
    normalised = Div(centred, std)
"""


def add_entrance(
    network: onnx.ModelProto,
    *,
    height: int,
    width: int,
    mean: float,
    std: float,
    pixels: bool,
    resize: bool,
    cameras: int | None,
) -> onnx.ModelProto:
    """Puts the steps before a network into its graph.

    Args:
        network: takes `normalised` [n, 3, height, width] float32, and `rows` [n] int64 where it has tables.
        height: of the network's input, pixels.
        width: of the network's input, pixels.
        mean: taken from each 8-bit pixel.
        std: divides what is left.
        pixels: the file takes `images` uint8 [n, h, w, 3] RGB; False: float32 [n, 3, height, width], normalised.
        resize: images of any size; False: of height x width only.
        cameras: known cameras of its tables, then the file takes `camera` int64 [n]; None: it has no tables.

    Returns:
        The file's graph.
    """
    seen = "h, w" if resize else f"{height}, {width}"
    images = f"uint8[n, {seen}, 3] images" if pixels else f"float[n, 3, {height}, {width}] images"
    inputs, outputs, initial, steps = [images], [f"float[n, 3, {height}, {width}] normalised"], "", []
    if cameras is not None:
        inputs.append("int64[n] camera")
        outputs.append("int64[n] rows")
        initial = f"<int64[1] {KNOWN_CAMERAS} = {{{cameras}}}, int64[1] nothing = {{0}}>"
        steps.append(_ROWS)
    if not pixels:
        steps.append(_INPUT_AS_IT_IS)
    else:
        steps.append(_PLANES)
        if resize:
            steps += [_RESIZE, _resize_axis("y", 1, height), _resize_axis("x", 2, width), _APPLY]
        steps.append(_NORMALISE.format(mean=mean, std=std, source="resized" if resize else "planes"))
    opset = next(entry.version for entry in network.opset_import if not entry.domain)
    text = (
        f'<ir_version: {network.ir_version}, opset_import: ["" : {opset}]>\n'
        f"entrance ({', '.join(inputs)}) => ({', '.join(outputs)}) {initial} {{\n{''.join(steps)}\n}}"
    )
    entrance = compose.add_prefix(parser.parse_model(text), "entrance/", rename_inputs=False, rename_outputs=False)
    joints = [(NORMALISED, NORMALISED)] + ([(ROWS, ROWS)] if cameras is not None else [])
    return compose.merge_models(entrance, network, io_map=joints, name="unrealperson")


def resize_as_graph(images: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """What the graph's resize makes of images, in numpy.

    Args:
        images: [n, h, w, 3] uint8.
        height: of the result, pixels.
        width: of the result, pixels.

    Returns:
        [n, height, width, 3] uint8.
    """
    planes = images.transpose(0, 3, 1, 2).astype(np.float32)
    wide = np.floor(planes @ _tent(images.shape[2], width).T + np.float32(0.5))
    tall = np.floor(_tent(images.shape[1], height) @ wide + np.float32(0.5))
    return np.ascontiguousarray(tall.transpose(0, 2, 3, 1)).astype(np.uint8)


def _tent(size: int, out: int) -> np.ndarray:
    """[out, size] float32 weights of the triangle around each new pixel's centre, as wide as a new pixel."""
    scale = np.float32(size) / np.float32(out)
    center = (np.arange(out, dtype=np.float32) + np.float32(0.5)) * scale
    away = np.abs(np.arange(size, dtype=np.float32) + np.float32(0.5) - center[:, None])
    tent = np.maximum(np.float32(1) - away / np.maximum(scale, np.float32(1)), np.float32(0))
    return tent / tent.sum(axis=1, keepdims=True)


def _resize_axis(axis: str, position: int, out: int) -> str:
    centers = ", ".join(f"{number + 0.5}" for number in range(out))
    return _RESIZE_AXIS.format(axis=axis, position=position, stop=position + 1, out=out, centers=centers)
