"""Commands about cameras: poses, lenses, and what they see."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from unrealperson.synth.commands.objects import CUBE, Color, Objects, Triple, as_text
from unrealperson.synth.protocol import CommandError, Dispatcher, encode_image
from unrealperson.synth.truth import describe_camera, describe_person
from unrealperson.synth.view import View, from_unreal, to_unreal

if TYPE_CHECKING:
    from unrealperson.synth.renderer import Renderer, What
    from unrealperson.synth.world import World

CACHE_BYTES = 2**28
"""Images of one instant that are kept for further questions about it; the oldest go first."""

MODES: dict[str, What] = {
    "lit": "lit",
    "object_mask": "object_mask",
    "seg": "object_mask",
    "normal": "normal",
    "depth": "depth",
}
"""What the renderer draws for each name of a view mode."""

_min_size, _max_size = 64, 4096


@dataclass
class Camera:
    """A camera that commands move.

    Attributes:
        name: object name.
        view: pose and field of view.
        width: of its images, in pixels.
        height: of its images, in pixels.
    """

    name: str
    view: View
    width: int
    height: int


class Cameras:
    """Camera 0 is the player's; cameras 1, 2, ... stand at the scene's surveillance views."""

    def __init__(
        self, world: World, renderer: Renderer, objects: Objects, *, views: Sequence[View], width: int, height: int
    ) -> None:
        """Places the cameras.

        Args:
            world: what they look at.
            renderer: draws it.
            objects: knows the mask colours.
            views: where cameras 1, 2, ... stand, at least one; camera 0 begins at the first.
            width: image width of every camera at the start, in pixels.
            height: image height of every camera at the start, in pixels.
        """
        self._world = world
        self._renderer = renderer
        self._objects = objects
        self._cameras = [
            Camera("PlayerCamera" if index == 0 else f"FusionCameraActor_{index}", view, width, height)
            for index, view in enumerate([views[0], *views])
        ]
        self._size = (width, height)
        self._images: dict[tuple[int, str], np.ndarray] = {}

    @property
    def player(self) -> Camera:
        """Camera 0."""
        return self._cameras[0]

    def forget_images(self) -> None:
        """Drops the images of the instant that a command may have changed."""
        self._images.clear()

    def add_commands(self, dispatcher: Dispatcher) -> None:
        """Registers the commands.

        Args:
            dispatcher: gets them.
        """
        add = dispatcher.add
        add("vget /cameras", lambda: "".join(f"{camera.name} " for camera in self._cameras), "Names of all cameras")
        add("vset /cameras/spawn", self._spawn, "Add a camera; the reply is its name")
        add("vget /camera/[uint]/location", lambda i: as_text(to_unreal(self._view(i))[0]), "Location x y z in cm")
        add("vget /camera/[uint]/rotation", lambda i: as_text(to_unreal(self._view(i))[1]), "Pitch yaw roll")
        add("vget /camera/[uint]/pose", self._pose, "Location and rotation")
        add("vset /camera/[uint]/location [float] [float] [float]", self._set_location, "Move the camera")
        add("vset /camera/[uint]/rotation [float] [float] [float]", self._set_rotation, "Turn the camera")
        add("vset /camera/[uint]/pose" + " [float]" * 6, self._set_pose, "Move and turn the camera")
        add("vget /camera/[uint]/fov", lambda i: f"{self._view(i).fov_deg:f}", "Horizontal field of view in degrees")
        add("vset /camera/[uint]/fov [float]", self._set_fov, "Set the horizontal field of view")
        add("vget /camera/[uint]/size", lambda i: f"{self._camera(i).width} {self._camera(i).height}", "Width height")
        add("vset /camera/[uint]/size [uint] [uint]", self._set_size, "Set the image size in pixels")
        for mode in MODES:
            add(f"vget /camera/[uint]/{mode} [str]", self._image_command(mode), "Image as png, bmp or npy")
        add("vget /camera/[uint]/class_mask [str]", self._class_mask, "Image with one colour a class of objects")
        add("vget /classes", self._classes, "Colour of each class in class_mask, as JSON")
        add("vget /camera/[uint]/annotations", self._annotations, "Every person in view, as JSON")

    def _camera(self, index: int) -> Camera:
        if index >= len(self._cameras):
            raise CommandError("Invalid sensor id")
        return self._cameras[index]

    def _view(self, index: int) -> View:
        return self._camera(index).view

    def _spawn(self) -> str:
        if len(self._cameras) > 999:
            raise CommandError("There are 1000 cameras already")
        camera = replace(self._cameras[0], name=f"FusionCameraActor_{len(self._cameras)}")
        self._cameras.append(camera)
        return camera.name

    def _move(self, index: int, location: Triple, rotation: Triple) -> None:
        camera = self._camera(index)
        camera.view = from_unreal(location, rotation, camera.view.fov_deg)

    def _pose(self, index: int) -> str:
        location, rotation = to_unreal(self._view(index))
        return f"{as_text(location)} {as_text(rotation)}"

    def _set_pose(self, index: int, x: float, y: float, z: float, pitch: float, yaw: float, roll: float) -> None:
        self._move(index, (x, y, z), (pitch, yaw, roll))

    def _set_location(self, index: int, x: float, y: float, z: float) -> None:
        self._move(index, (x, y, z), to_unreal(self._view(index))[1])

    def _set_rotation(self, index: int, pitch: float, yaw: float, roll: float) -> None:
        self._move(index, to_unreal(self._view(index))[0], (pitch, yaw, roll))

    def _set_fov(self, index: int, fov_deg: float) -> None:
        camera = self._camera(index)
        camera.view = replace(camera.view, fov_deg=fov_deg)

    def _set_size(self, index: int, width: int, height: int) -> None:
        if not (_min_size <= width <= _max_size and _min_size <= height <= _max_size):
            raise CommandError(f"Width and height must lie in {_min_size} ... {_max_size}, got {width} {height}")
        camera = self._camera(index)
        camera.width, camera.height = width, height

    def _image_command(self, mode: str) -> Callable[[int, str], bytes]:
        def command(index: int, form: str) -> bytes:
            self._camera(index)
            _require_form(form)
            if mode == "depth" and form != "npy":
                raise CommandError("Depth is sent as npy only")
            return encode_image(self._image(index, MODES[mode]), form)

        return command

    def _image(self, index: int, what: What) -> np.ndarray:
        """The image of a camera at this instant; colour, mask and truth of one instant share it."""
        image = self._images.get((index, what))
        if image is None:
            image = self._render(index, what, self._objects.colors)
            if what == "depth":
                image = image * np.float32(100.0)
            self._images[index, what] = image
            while len(self._images) > 1 and sum(each.nbytes for each in self._images.values()) > CACHE_BYTES:
                del self._images[next(iter(self._images))]
        return image

    def _render(self, index: int, what: What, colors: Mapping[str, Color]) -> np.ndarray:
        camera = self._camera(index)
        if (camera.width, camera.height) != self._size:
            self._renderer.resize(camera.width, camera.height)
            self._size = (camera.width, camera.height)
        return self._renderer.render(self._world, camera.view, what, colors)

    def _classes(self) -> str:
        return json.dumps({name: list(color) for name, color in self._objects.class_colors().items()})

    def _class_mask(self, index: int, form: str) -> bytes:
        _require_form(form)
        colors = self._objects.class_colors()
        objects = {name: colors[name.split("_")[0]] for name in self._objects.static}
        objects |= {name: colors["Person"] for name in self._world.actors}
        objects |= {name: colors[CUBE] for name in self._world.cubes}
        return encode_image(self._render(index, "object_mask", objects), form)

    def _annotations(self, index: int) -> str:
        camera = self._camera(index)
        mask = self._image(index, "object_mask")
        people = []
        colors = self._objects.colors
        names = {color: name for name, color in colors.items()}
        for name, actor in self._world.actors.items():
            truth = describe_person(actor, camera.view, mask, colors[name], names)
            if truth is not None:
                people.append({"name": name, **truth})
        return json.dumps(
            {
                "time_s": round(self._world.time_s, 6),
                "light": self._world.light,
                "gain": self._world.lighting.gain,
                "driver": self._renderer.driver,
                "camera": camera.name,
                "width": camera.width,
                "height": camera.height,
                **describe_camera(camera.view, camera.width, camera.height),
                "people": people,
            }
        )


def _require_form(form: str) -> None:
    if form not in ("png", "bmp", "npy"):
        raise CommandError(f"Invalid filename type, filename {form}: only png, bmp and npy are sent, no files")
