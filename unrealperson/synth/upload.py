"""Meshes and textures as Panda3D takes them to the graphics device."""

from __future__ import annotations

import numpy as np
from panda3d import core


def vertices(
    positions: np.ndarray, normals: np.ndarray, uv: np.ndarray, colors: np.ndarray | None
) -> core.GeomVertexData:
    """Vertices that a draw call takes.

    Args:
        positions: [n, 3] metres.
        normals: [n, 3] unit vectors.
        uv: [n, 2], v up.
        colors: [n, 3] factor on the texture's linear colour; None for things that are rewritten as they move.
    """
    data = core.GeomVertexData("mesh", _format(), core.Geom.UH_dynamic if colors is None else core.Geom.UH_static)
    data.unclean_set_num_rows(len(positions))
    tint = np.ones((len(positions), 4), np.float32)
    if colors is not None:
        tint[:, :3] = colors
    for array, values in enumerate((positions, normals, uv, tint)):
        write(data, array, values)
    return data


def write(data: core.GeomVertexData, array: int, values: np.ndarray) -> None:
    """Overwrites the first rows of one array of `vertices`.

    Args:
        data: of `vertices`.
        array: 0 positions, 1 normals, 2 texture coordinates, 3 colours.
        values: [n, 2 ... 4] new rows.
    """
    target = memoryview(data.modify_array(array)).cast("B")
    source = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint8)
    target[: len(source)] = source.data


def triangles(data: core.GeomVertexData, faces: np.ndarray) -> core.Geom:
    """Triangles over vertices.

    Args:
        data: of `vertices`.
        faces: [T, 3] rows of its vertices.
    """
    primitive = core.GeomTriangles(core.Geom.UH_static)
    primitive.set_index_type(core.Geom.NT_uint32)
    index = primitive.modify_vertices()
    index.unclean_set_num_rows(faces.size)
    flat = np.ascontiguousarray(faces, np.uint32).reshape(-1)
    memoryview(index).cast("B")[:] = flat.view(np.uint8).data
    geom = core.Geom(data)
    geom.add_primitive(primitive)
    return geom


def texture(name: str, image: np.ndarray) -> core.Texture:
    """A texture with mipmaps; the copy in main memory is dropped once the device has it.

    Args:
        name: for messages.
        image: [H, W, 3] uint8 sRGB, row 0 on top; a fourth channel is kept as it is.
    """
    made = core.Texture(name)
    height, width = image.shape[:2]
    shines = image.shape[2] == 4
    kind = core.Texture.F_srgb_alpha if shines else core.Texture.F_srgb
    made.setup_2d_texture(width, height, core.Texture.T_unsigned_byte, kind)
    turned = np.empty(image.shape, np.uint8)
    # Plane by plane: a third of the time of one copy in another order.
    for ours, theirs in enumerate([2, 1, 0, 3][: image.shape[2]]):
        turned[..., ours] = image[::-1, :, theirs]
    made.set_ram_image(turned)
    made.set_keep_ram_image(False)
    made.set_minfilter(core.SamplerState.FT_linear_mipmap_linear)
    made.set_magfilter(core.SamplerState.FT_linear)
    return made


def _format() -> core.GeomVertexFormat:
    layout = core.GeomVertexFormat()
    for name, components, kind in (
        ("vertex", 3, core.Geom.C_point),
        ("normal", 3, core.Geom.C_normal),
        ("texcoord", 2, core.Geom.C_texcoord),
        ("color", 4, core.Geom.C_other),
    ):
        array = core.GeomVertexArrayFormat()
        array.add_column(name, components, core.Geom.NT_float32, kind)
        layout.add_array(array)
    return core.GeomVertexFormat.register_format(layout)
