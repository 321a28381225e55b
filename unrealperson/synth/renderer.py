"""Rendering without a window: Panda3D over EGL, on a GPU or on the CPU through Mesa's llvmpipe.

One pass over the scene writes the shaded colour and the number of the object at every sample, so image and mask
always agree; mask colours are looked up in numpy afterwards and therefore exact. Where several renderers run side
by side, set LP_NUM_THREADS=1, and LP_NATIVE_VECTOR_WIDTH=256 so that machines with other vector units give the same
bits, in the environment before the process starts.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from panda3d import core

from unrealperson.log import get_logger
from unrealperson.synth import shaders, upload
from unrealperson.synth.people.detail import Level
from unrealperson.synth.people.sheets import SLOTS
from unrealperson.synth.scenes.light import Light
from unrealperson.synth.scenes.scene import Glow, Mesh, Scene
from unrealperson.synth.scenes.surfaces import noise
from unrealperson.synth.view import View
from unrealperson.synth.world import Actor, World

logger = get_logger(__name__)

What = Literal["lit", "object_mask", "normal", "depth"]

SHADOW_PIXELS = 2048
LEVEL_PX = (480.0, 90.0)
"""A person lower in the image than this is shown at the next level of detail: the first is not to be told from the
full mesh, the second serves people too small for a crop."""
NEAR_M, FAR_M = 0.1, 150.0
_VIEW_MASK, _SHADOW_MASK, _GEOMETRY_MASK = (core.BitMask32.bit(bit) for bit in (0, 1, 2))

_CLOSED = tuple(SLOTS.index(name) for name in ("skin", "eyes", "top", "outer", "bottom", "shoes"))
"""Slots whose surfaces are hardly ever seen from inside."""
_NEAR_FIRST = "near_first"
"""Bin of what is drawn front to back: what is hidden costs little."""

_SETTINGS = """
load-display p3headlessgl
gl-version 3 3
gl-coordinate-system default
framebuffer-multisample 0
textures-power-2 none
sync-video 0
model-cache-dir
audio-library-name null
garbage-collect-states 0
notify-level-egldisplay error
notify-level-device fatal
"""


class Renderer:
    """Renders one scene and the people in a world.

    Several renderers may live in one process; they share its one graphics engine and must be used from one thread.

    Args:
        scene: what stands in the world.
        width: image width in pixels.
        height: image height in pixels.
        supersample: samples a side of a pixel.

    Raises:
        RuntimeError: no OpenGL context can be made.
    """

    def __init__(self, scene: Scene, *, width: int, height: int, supersample: int = 2) -> None:
        if supersample < 1:
            raise ValueError(f"supersample must be at least 1, got {supersample}")
        self._supersample = supersample
        self._context = _Context.get()
        self._root = core.NodePath("scene")
        self._matt, self._glossy = self._root.attach_new_node("matt"), self._root.attach_new_node("glossy")
        self._numbers = {mesh.name: number for number, mesh in enumerate(scene.meshes, 1)}
        self._static_count = len(scene.meshes)
        self._people: dict[str, _PersonNode] = {}
        textures: dict[int, core.Texture] = {}
        for mesh in scene.meshes:
            self._add_mesh(mesh, textures)
        self._shadow = _ShadowMap(self._context, self._root, scene.bounds)
        self._sky = _add_sky(self._root)
        _set_lamps(self._root, scene)
        self._lens = core.PerspectiveLens()
        self._lens.set_near_far(NEAR_M, FAR_M)
        self._camera = self._add_camera("view", _VIEW_MASK)
        self._geometry_camera = self._add_camera("geometry", _GEOMETRY_MASK)
        override = core.NodePath("override")
        override.set_shader(_shader(shaders.VERTEX, shaders.GEOMETRY), 10)
        self._geometry_camera.node().set_initial_state(override.get_state())
        self._shadow_key: Any = None
        self._cached: dict[str, tuple[Any, Any]] = {}
        self._buffers: list[core.GraphicsOutput] = []
        self.resize(width, height)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def renderer_name(self) -> str:
        """OpenGL's name of what renders, for example `llvmpipe (LLVM 15.0.6, 256 bits)`."""
        return self._context.gsg.driver_renderer

    @property
    def driver(self) -> str:
        """OpenGL's name of what renders and its version, for example `llvmpipe (...), 4.5 ... Mesa 22.3.6`."""
        return f"{self._context.gsg.driver_renderer}, {self._context.gsg.driver_version}"

    def resize(self, width: int, height: int) -> None:
        """Changes the size of the images.

        Args:
            width: pixels.
            height: pixels.
        """
        if not (1 <= width <= 8192 and 1 <= height <= 8192):
            raise ValueError(f"width and height must lie in 1 ... 8192 pixels, got {width} x {height}")
        self._release_buffers()
        self._width, self._height = width, height
        samples = self._supersample
        self._cached.clear()
        self._sampled, shaded, numbers = self._context.make_color_buffer(width * samples, height * samples)
        self._sampled.make_display_region().set_camera(self._camera)
        self._resolved, self._resolved_texture = self._context.make_readable_buffer(2 * width, height)
        card = core.CardMaker("resolve")
        card.set_frame_fullscreen_quad()
        quad = core.NodePath(card.generate())
        quad.set_shader(_shader(shaders.DEPTH_VERTEX, shaders.RESOLVE))
        quad.set_shader_inputs(shaded=shaded, numbers=numbers, samples=samples, columns=width)
        quad.set_depth_test(False)
        lens = core.OrthographicLens()
        lens.set_film_size(2, 2)
        lens.set_near_far(-10, 10)
        flat = core.NodePath("flat")
        quad.reparent_to(flat)
        self._resolved.make_display_region().set_camera(flat.attach_new_node(core.Camera("flat", lens)))
        self._flat = flat
        self._surface, self._surface_texture = self._context.make_readable_buffer(width, height, floating=True)
        self._surface.make_display_region().set_camera(self._geometry_camera)
        self._buffers = [self._sampled, self._resolved, self._surface]
        for buffer in self._buffers:
            buffer.set_active(False)

    def close(self) -> None:
        """Releases what the renderer holds on the graphics device; it can not be used afterwards."""
        self._release_buffers()
        self._shadow.close()
        for person in self._people.values():
            person.close()
        self._people.clear()
        self._root.remove_node()

    def render(
        self, world: World, view: View, what: What, colors: Mapping[str, tuple[int, int, int]] | None = None
    ) -> np.ndarray:
        """Renders the world as a camera sees it now.

        Args:
            world: people and light; its scene must be the renderer's.
            view: the camera.
            what: `lit` colour image; `object_mask` flat colours; `normal` world normals, (n + 1) / 2; `depth`
                metres along the optical axis, infinite where nothing is.
            colors: mask colour of each object name, 0 ... 255; a name that is absent is black.

        Returns:
            [H, W, 3] uint8, or [H, W] float32 for `depth`.
        """
        self._synchronise(world, view)
        key = (view, self._scene_key(world))
        if what == "object_mask":
            return self._mask(self._shaded(key, world, view)[1], colors or {})
        if what == "lit":
            return self._shaded(key, world, view)[0].copy()
        if what not in ("normal", "depth"):
            raise ValueError(f"what must be lit, object_mask, normal or depth, got {what!r}")
        surface = self._geometry(key, view)
        depth = surface[..., 3]
        if what == "depth":
            return np.where(depth > 0, depth, np.float32(np.inf))
        return np.where(depth[..., None] > 0, surface[..., :3] * 127.5 + 128.0, 0.0).astype(np.uint8)

    def _add_mesh(self, mesh: Mesh, textures: dict[int, core.Texture]) -> None:
        data = upload.vertices(mesh.positions, mesh.normals, mesh.uv, mesh.colors)
        node = core.GeomNode(mesh.name)
        node.add_geom(upload.triangles(data, mesh.faces))
        path = (self._glossy if mesh.gloss > 0 else self._matt).attach_new_node(node)
        if id(mesh.texture) not in textures:
            textures[id(mesh.texture)] = upload.texture(mesh.name, mesh.texture)
        path.set_texture(textures[id(mesh.texture)])
        path.set_shader_inputs(object=_number(self._numbers[mesh.name]), gloss=mesh.gloss, glow=_glow(mesh.glow))
        path.set_bin(_NEAR_FIRST, 0)
        path.set_two_sided(True)

    def _add_camera(self, name: str, mask: core.BitMask32) -> core.NodePath:
        camera = core.Camera(name, self._lens)
        camera.set_camera_mask(mask)
        return self._root.attach_new_node(camera)

    def _release_buffers(self) -> None:
        for buffer in self._buffers:
            self._context.engine.remove_window(buffer)
        self._buffers = []

    def _synchronise(self, world: World, view: View) -> None:
        """Brings nodes in line with the world's people, at the detail that the view needs."""
        for name in [name for name in self._people if name not in world.things]:
            self._people.pop(name).close()
        for order, (name, actor) in enumerate(world.things.items(), self._static_count + 1):
            if name in self._people and self._people[name].person is not actor.person:
                self._people.pop(name).close()
                self._cached.clear()
                self._shadow_key = None
            if name not in self._people:
                self._people[name] = _PersonNode(self._matt, actor)
            self._people[name].update(actor, order, self._height_px(actor, view))
            self._numbers[name] = order

    def _height_px(self, actor: Actor, view: View) -> float:
        """Height of an upright person in the image, wherever the camera points."""
        x, y, z = actor.position_m
        away_m = math.dist(view.position_m, (x, y, z + 0.5 * actor.person.height_m))
        return _focal_px(self._width, view) * actor.person.height_m / max(away_m, NEAR_M)

    def _scene_key(self, world: World) -> tuple[Any, ...]:
        people = (
            (name, actor.position_m, actor.yaw_deg, actor.phase, actor.moving, actor.look_deg, actor.scale)
            for name, actor in world.things.items()
        )
        return world.lighting, tuple(people)

    def _place(self, camera: core.NodePath, view: View) -> None:
        right, forward, up = view.axes()
        rows = np.eye(4)
        rows[:3, :3] = right, forward, up
        rows[3, :3] = view.position_m
        camera.set_mat(core.LMatrix4(*rows.ravel().tolist()))
        self._lens.set_film_size(self._width, self._height)
        self._lens.set_focal_length(_focal_px(self._width, view))
        self._root.set_shader_inputs(eye=core.LVecBase3(*view.position_m), forward=core.LVecBase3(*forward.tolist()))

    def _shaded(self, key: Any, world: World, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Image [H, W, 3] uint8 and object numbers [H, W] uint16, rendered once per view and state."""
        if self._cached.get("shaded", (None,))[0] != key:
            light = world.lighting
            if self._shadow_key != key[1]:
                self._shadow.render(light)
                self._shadow_key = key[1]
            self._place(self._camera, view)
            self._sky.set_pos(*view.position_m)
            for surfaces, gloss in ((self._matt, False), (self._glossy, True)):
                program = shaders.lit(sun=max(light.sun) > 0, lamps=light.lamps > 0, gloss=gloss)
                surfaces.set_shader(_shader(shaders.VERTEX, program))
            self._root.set_shader_inputs(
                sun_direction=core.LVecBase3(*light.direction()),
                sun=core.LVecBase3(*light.sun),
                sky=core.LVecBase3(*light.sky),
                ground=core.LVecBase3(*light.ground),
                zenith=core.LVecBase3(*light.zenith),
                haze=core.LVecBase4(core.LVecBase3(*light.haze), light.haze_per_m),
                clouds=light.clouds,
                lamps=light.lamps,
                exposure=light.exposure,
            )
            self._context.render(self._sampled, self._resolved)
            pixels = _pixels(self._resolved_texture, self._height, 2 * self._width, np.uint8)
            image = np.ascontiguousarray(pixels[:, : self._width, 2::-1])
            number = pixels[:, self._width :, 2].astype(np.uint16) | pixels[:, self._width :, 1].astype(np.uint16) << 8
            self._cached["shaded"] = key, (image, number)
        return self._cached["shaded"][1]

    def _geometry(self, key: Any, view: View) -> np.ndarray:
        """World normal and depth, [H, W, 4] float32."""
        if self._cached.get("geometry", (None,))[0] != key:
            self._place(self._geometry_camera, view)
            self._context.render(self._surface)
            pixels = _pixels(self._surface_texture, self._height, self._width, np.float32)
            self._cached["geometry"] = key, pixels[..., [2, 1, 0, 3]]
        return self._cached["geometry"][1]

    def _mask(self, number: np.ndarray, colors: Mapping[str, tuple[int, int, int]]) -> np.ndarray:
        table = np.zeros((self._static_count + len(self._people) + 1, 3), np.uint8)
        for name, color in colors.items():
            index = self._numbers.get(name, 0)
            if 0 < index <= self._static_count or name in self._people:
                table[index] = color
        return table[number]


class _Context:
    """The graphics engine and the hidden output that owns the OpenGL state, one per process."""

    _shared: _Context | None = None

    @classmethod
    def get(cls) -> _Context:
        if cls._shared is None:
            cls._shared = cls()
        return cls._shared

    def __init__(self) -> None:
        core.load_prc_file_data("unrealperson", _SETTINGS)
        core.CullBinManager.get_global_ptr().add_bin(_NEAR_FIRST, core.CullBinEnums.BT_front_to_back, 20)
        self.engine = core.GraphicsEngine.get_global_ptr()
        self.pipe = core.GraphicsPipeSelection.get_global_ptr().make_module_pipe("p3headlessgl")
        self.host = None
        if self.pipe is not None:
            self.host = self.engine.make_output(
                self.pipe,
                "host",
                0,
                _properties(color=8),
                core.WindowProperties.size(1, 1),
                core.GraphicsPipe.BF_refuse_window,
            )
        if self.host is None or self.host.gsg is None or not self.host.gsg.driver_renderer:
            raise RuntimeError(
                "no OpenGL context without a display could be made; on Debian or Ubuntu install Mesa's EGL driver: "
                "apt-get install libegl1 libgl1-mesa-dri"
            )
        self.host.set_active(False)
        self.gsg = self.host.gsg
        logger.info("rendering on %s", self.gsg.driver_renderer)

    def make_color_buffer(self, width: int, height: int) -> tuple[core.GraphicsOutput, core.Texture, core.Texture]:
        buffer = self._make("samples", width, height, _properties(color=8, auxiliary=1))
        textures = []
        for plane in (core.DrawableRegion.RTP_color, core.DrawableRegion.RTP_aux_rgba_0):
            texture = core.Texture("samples")
            texture.set_minfilter(core.SamplerState.FT_nearest)
            texture.set_magfilter(core.SamplerState.FT_nearest)
            buffer.add_render_texture(texture, core.GraphicsOutput.RTM_bind_or_copy, plane)
            textures.append(texture)
        buffer.set_clear_active(core.DrawableRegion.RTP_aux_rgba_0, True)
        buffer.set_clear_value(core.DrawableRegion.RTP_aux_rgba_0, (0, 0, 0, 0))
        return buffer, textures[0], textures[1]

    def make_readable_buffer(
        self, width: int, height: int, *, floating: bool = False
    ) -> tuple[core.GraphicsOutput, core.Texture]:
        buffer = self._make("image", width, height, _properties(color=32 if floating else 8))
        buffer.set_clear_color((0, 0, 0, 0))
        texture = core.Texture("image")
        buffer.add_render_texture(texture, core.GraphicsOutput.RTM_copy_ram, core.DrawableRegion.RTP_color)
        return buffer, texture

    def make_shadow_buffer(self, size: int) -> tuple[core.GraphicsOutput, core.Texture]:
        buffer = self._make("shadow", size, size, _properties(color=0))
        texture = core.Texture("shadow")
        texture.set_format(core.Texture.F_depth_component24)
        texture.set_minfilter(core.SamplerState.FT_shadow)
        texture.set_magfilter(core.SamplerState.FT_shadow)
        texture.set_border_color((1, 1, 1, 1))
        texture.set_wrap_u(core.SamplerState.WM_border_color)
        texture.set_wrap_v(core.SamplerState.WM_border_color)
        buffer.add_render_texture(texture, core.GraphicsOutput.RTM_bind_or_copy, core.DrawableRegion.RTP_depth)
        return buffer, texture

    def render(self, *buffers: core.GraphicsOutput) -> None:
        """Renders these outputs, in this order, and no others."""
        for order, buffer in enumerate(buffers):
            buffer.set_sort(order)
            buffer.set_active(True)
        self.engine.render_frame()
        for buffer in buffers:
            buffer.set_active(False)

    def _make(self, name: str, width: int, height: int, properties: core.FrameBufferProperties) -> core.GraphicsOutput:
        size, flags = core.WindowProperties.size(width, height), core.GraphicsPipe.BF_refuse_window
        buffer = self.engine.make_output(self.pipe, name, 0, properties, size, flags, self.gsg, self.host)
        if buffer is None:
            raise RuntimeError(f"{self.gsg.driver_renderer} can not make an off-screen buffer of {width} x {height}")
        return buffer


class _ShadowMap:
    """Depth of the scene as the sun sees it."""

    def __init__(self, context: _Context, root: core.NodePath, bounds: tuple[float, float, float, float]) -> None:
        self._context, self._root = context, root
        self._buffer, self._texture = context.make_shadow_buffer(SHADOW_PIXELS)
        self._buffer.set_active(False)
        x0, y0, x1, y1 = bounds
        self._center = core.LPoint3((x0 + x1) / 2, (y0 + y1) / 2, 0)
        self._lens = core.OrthographicLens()
        self._lens.set_near_far(1.0, 140.0)
        self._lens.set_film_size(math.hypot(x1 - x0, y1 - y0) + 2.0)
        camera = core.Camera("sun", self._lens)
        camera.set_camera_mask(_SHADOW_MASK)
        override = core.NodePath("override")
        override.set_shader(_shader(shaders.DEPTH_VERTEX, shaders.EMPTY), 10)
        camera.set_initial_state(override.get_state())
        self._camera = root.attach_new_node(camera)
        self._buffer.make_display_region().set_camera(self._camera)
        root.set_shader_inputs(
            shadow_map=self._texture, shadow_texel=1.0 / SHADOW_PIXELS, shadow_matrix=core.LMatrix4.ident_mat()
        )

    def render(self, light: Light) -> None:
        """Draws the shadows of a light; nothing to do where no sun shines."""
        if max(light.sun) <= 0:
            return
        self._camera.set_pos(self._center + core.LVector3(*light.direction()) * 70.0)
        self._camera.look_at(self._center)
        to_sun = self._root.get_transform(self._camera).get_mat() * self._lens.get_projection_mat()
        self._root.set_shader_inputs(shadow_matrix=to_sun)
        self._context.render(self._buffer)

    def close(self) -> None:
        self._context.engine.remove_window(self._buffer)


class _PersonNode:
    """Nodes of one person: a mesh for the cameras, the lowest level for the shadow, a dark spot at the feet."""

    def __init__(self, root: core.NodePath, actor: Actor) -> None:
        self.person = person = actor.person
        posed = actor.posed()
        self._data = upload.vertices(posed.positions, posed.normals, person.uv, None)
        self._posed = posed
        self._path = root.attach_new_node(actor.name)
        self._path.set_texture(upload.texture(actor.name, person.texture))
        self._path.set_shader_inputs(gloss=0.0, glow=_glow(0.0))
        self._path.set_bin(_NEAR_FIRST, 0)
        self._geoms = [upload.triangles(self._data, _with_backs(level)) for level in person.levels]
        self._level = 0
        self._seen, shadow = core.GeomNode(actor.name), core.GeomNode(actor.name)
        for node, level, hidden in ((self._seen, 0, _SHADOW_MASK), (shadow, -1, _VIEW_MASK | _GEOMETRY_MASK)):
            node.add_geom(self._geoms[level])
            node.set_bounds(core.BoundingSphere(core.LPoint3(0, 0, 0.5 * person.height_m), 0.75 * person.height_m))
            node.set_final(True)
            self._path.attach_new_node(node).hide(hidden)
        card = core.CardMaker("contact")
        card.set_frame(-0.5, 0.5, -0.5, 0.5)
        spot = self._path.attach_new_node(card.generate())
        spot.set_pos_hpr(0, 0, 0.012, 0, -90, 0)
        spot.set_shader(_shader(shaders.VERTEX, shaders.CONTACT), 5)
        spot.set_transparency(core.TransparencyAttrib.M_alpha)
        spot.set_depth_write(False)
        spot.set_bin("fixed", 30)
        spot.hide(_SHADOW_MASK | _GEOMETRY_MASK)

    def update(self, actor: Actor, number: int, height_px: float) -> None:
        self._path.set_pos_hpr_scale(*actor.position_m, actor.yaw_deg, 0, 0, *actor.scale)
        self._path.set_shader_inputs(object=_number(number))
        level = min(sum(height_px < least for least in LEVEL_PX), len(self._geoms) - 1)
        if level != self._level:
            self._seen.set_geom(0, self._geoms[level])
            self._level = level
        posed = actor.posed(self.person.levels[level].vertices)
        if posed is not self._posed:
            upload.write(self._data, 0, posed.positions)
            upload.write(self._data, 1, posed.normals)
            self._posed = posed

    def close(self) -> None:
        self._path.remove_node()


def _with_backs(level: Level) -> np.ndarray:
    """Faces of a level, and once more from behind those of thin sheets: only fronts are drawn, at half the cost."""
    return np.concatenate([level.faces, level.faces[~np.isin(level.slots, _CLOSED)][:, ::-1]])


def _add_sky(root: core.NodePath) -> core.NodePath:
    """A dome around the camera, drawn behind everything."""
    polar, around = np.meshgrid(np.linspace(-0.2, 0.5 * np.pi, 7), np.linspace(0, 2 * np.pi, 17), indexing="ij")
    place = np.stack([np.cos(polar) * np.cos(around), np.cos(polar) * np.sin(around), np.sin(polar)], -1)
    corner = (np.arange(6)[:, None] * 17 + np.arange(16)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array([0, 1, 18]), corner + np.array([0, 18, 17])])
    points = (0.5 * FAR_M * place).reshape(-1, 3)
    node = core.GeomNode("sky")
    node.add_geom(upload.triangles(upload.vertices(points, -points, points[:, :2], np.ones_like(points)), faces))
    path = root.attach_new_node(node)
    path.set_shader(_shader(shaders.VERTEX, shaders.SKY), 5)
    clouds = np.clip(0.5 + 0.5 * sum(noise(np.random.default_rng(3), 256, 4 << k) / 2**k for k in range(5)), 0, 1)
    path.set_texture(upload.texture("clouds", np.repeat((255 * clouds).astype(np.uint8)[..., None], 3, 2)))
    path.set_two_sided(True)
    path.set_depth_write(False)
    path.set_bin("background", 0)
    path.hide(_SHADOW_MASK | _GEOMETRY_MASK)
    return path


def _set_lamps(root: core.NodePath, scene: Scene) -> None:
    field = scene.lamp_field
    inputs = {"lamp_light": field.light, "lamp_towards": field.towards * 0.5 + 0.5}
    for name, values in inputs.items():
        texture = core.Texture(name)
        depth, height, width = values.shape[:3]
        texture.setup_3d_texture(width, height, depth, core.Texture.T_float, core.Texture.F_rgb16)
        texture.set_ram_image(np.ascontiguousarray(values[..., ::-1], np.float32).tobytes())
        texture.set_minfilter(core.SamplerState.FT_linear)
        texture.set_magfilter(core.SamplerState.FT_linear)
        for wrap in (texture.set_wrap_u, texture.set_wrap_v, texture.set_wrap_w):
            wrap(core.SamplerState.WM_clamp)
        root.set_shader_input(name, texture)
    root.set_shader_inputs(lamp_low=core.LVecBase3(*field.low_m), lamp_size=core.LVecBase3(*field.size_m))


@functools.cache
def _shader(vertex: str, fragment: str) -> core.Shader:
    shader = core.Shader.make(core.Shader.SL_GLSL, vertex, fragment)
    if shader is None:
        raise RuntimeError("a shader could not be compiled; see the lines above")
    return shader


def _properties(*, color: int, auxiliary: int = 0) -> core.FrameBufferProperties:
    properties = core.FrameBufferProperties()
    if color:
        properties.set_rgba_bits(color, color, color, color)
        properties.set_float_color(color > 16)
    properties.set_aux_rgba(auxiliary)
    properties.set_depth_bits(24)
    return properties


def _focal_px(width: int, view: View) -> float:
    return width / (2.0 * math.tan(math.radians(view.fov_deg) / 2.0))


def _glow(glow: Glow) -> core.LVecBase3:
    return core.LVecBase3(*(glow if isinstance(glow, tuple) else (glow,) * 3))


def _number(number: int) -> core.LVecBase2:
    return core.LVecBase2((number & 255) / 255.0, (number >> 8) / 255.0)


def _pixels(texture: core.Texture, height: int, width: int, kind: type[np.generic]) -> np.ndarray:
    """What was read back, [height, width, 4] BGRA, row 0 on top."""
    if not texture.has_ram_image():
        raise RuntimeError("the graphics driver returned no image")
    values = np.frombuffer(memoryview(texture.get_ram_image()), kind)
    return values.reshape(height, width, 4)[::-1]
