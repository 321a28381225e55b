"""Configuration section [synth]: who, where, when, and how it is rendered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require

_RANGES = {
    "sensor_exposure": (-2, 2),
    "sensor_red": (0.3, 3),
    "sensor_blue": (0.3, 3),
    "sensor_contrast": (0.2, 3),
    "sensor_saturation": (0, 3),
    "sensor_blur_px": (0, 10),
    "sensor_sharpen": (0, 10),
    "sensor_noise": (0, 100),
    "sensor_quality": (1, 99),
    "camera_height_m": (0, 30),
}
"""What two numbers of a range may be."""
MODEL_SUFFIXES = (".glb", ".gltf")
"""Of a synth.place that is a model; any other is code that is run."""
GROUP_REGIONS = ("bag", "shoes", "logo", "hair", "hat")
"""What may tell the people of one hard group apart."""


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What is synthesised: who, where, when, and how it is rendered."""

    seed: int = 0
    """Every person, path, light and sensor is a pure function of this seed."""
    scenes: tuple[int, ...] = (1,)
    """Scene numbers X of the folder names unreal_vX.Y: 1 street, 2 plaza, 3 yard, 4 supermarket, 5 station hall."""
    place: str = ""
    """The user's own scene: FILE.py:FUNCTION (its code is run), FILE.glb or FILE.gltf; empty: the numbered scene."""
    surfaces: str = ""
    """Folder of pictures named after surfaces (asphalt.jpg, paving.jpg, brick.png, ...); empty: painted ones."""
    versions: tuple[int, ...] = (1,)
    """Model versions Y of the folder names unreal_vX.Y: 1 without accessories, 2 with, 3 hard groups of five alike."""
    groups: tuple[str, ...] = ()
    """Hard groups of version 3, in order: in what each differs ("bag, shoes"), and whom it looks like where that shall
    be somebody, as SEED.Y.P before it ("0.2.17: bag"); 'harden' writes these. Further groups are drawn."""
    body: Literal["massproduce", "natural"] = "massproduce"
    """Body shapes: the original's distributions, or those met in a street."""
    colors: Literal["wardrobe", "black", "uniform"] = "wardrobe"
    """Colours of clothes: as people wear them, (almost) all black (paper section 4.4), or all alike."""
    clothes: str = ""
    """Folder of MakeHuman garments (.mhclo) that half of the people wear; empty: the built-in wardrobe alone."""
    accessories: str = "published"
    """From version 2 on: published, older, none, or "slot=probability" pairs such as "backpack=0.5, cap=0.2"."""
    textures: Literal["generated", "random", "real"] = "generated"
    """Cloth: painted, any pictures, or patches cut from photographs of garments (paper section 4.2)."""
    pictures: str = ""
    """Folder of the pictures that the textures random and real take."""
    picture_share: float = 1.0
    """How many garments take a picture, 0 ... 1; the others and all shoes are painted."""
    people: int = 72
    """Identities of each version; they are numbered P = 0 ... people - 1."""
    test_people: int = 24
    """The last so many identities of each version are marked split=test, the others split=train."""
    people_per_batch: int = 24
    """Identities that walk through a scene together; 0: the scene's own, 100 / 100 / 100 / 50 / 50."""
    crowding: float = 0.0
    """Occlusion, 0 ... 1: obstacles beside the paths, more people on fewer paths and in groups, more paces."""
    riders: float = 0.03
    """How many of those whose hands are free ride a bicycle or a kick scooter outdoors, 0 ... 1; the paper has none."""
    cameras: int = 6
    """Virtual surveillance cameras, numbered D = 1 ... cameras; 0: the scene's own, 6 / 16 / 6 / 6 / 6."""
    camera_poses: str = ""
    """File of camera poses ('unrealperson poses', or the original's caminfo_*.pkl) in place of the scene's cameras."""
    instants: int = 10
    """Instants captured per batch; all cameras look at the same instant."""
    interval_s: float = 2.0
    """Simulated seconds between two instants."""
    hours: Literal["day", "overcast", "dusk", "night"] = "day"
    """Part of the day that the light steps are spread over; night is the paper's low illumination (section 4.4)."""
    lights: int = 0
    """Light steps (the paper's changing skylight) of a batch; 0: the scene's own, 1 / 12 / 6 / 1 / 1."""
    light_schedule: Literal["spread", "original"] = "spread"
    """Spread the steps evenly over the instants, or let all of them fall on the first ones as the original does."""
    width: int = 640
    """Frame width in pixels."""
    height: int = 480
    """Frame height in pixels."""
    sensor: bool = True
    """Give each camera its own exposure, white balance, gamma, blur and noise."""
    sensor_exposure: tuple[float, float] = (-0.3, 0.3)
    """Lowest and highest exposure of a camera, as the natural logarithm of the factor on light."""
    sensor_auto_exposure: float = 0.0
    """How far each image is exposed for what its camera sees, 0 not at all ... 1 for a mean of middle grey."""
    sensor_red: tuple[float, float] = (0.88, 1.12)
    """Lowest and highest white balance of a camera: factor on red light."""
    sensor_blue: tuple[float, float] = (0.86, 1.14)
    """Lowest and highest white balance of a camera: factor on blue light."""
    sensor_contrast: tuple[float, float] = (0.88, 1.2)
    """Lowest and highest factor on contrast."""
    sensor_saturation: tuple[float, float] = (0.6, 1.15)
    """Lowest and highest saturation; 0 is grey, 1 leaves colours alone."""
    sensor_blur_px: tuple[float, float] = (0.0, 0.7)
    """Least and greatest blur of the optics, in pixels of a frame 640 wide."""
    sensor_sharpen: tuple[float, float] = (0.0, 0.0)
    """Least and greatest strength of the camera's unsharp mask, such as 1.5, which draws rims at edges."""
    sensor_noise: tuple[float, float] = (0.5, 4.0)
    """Least and greatest standard deviation of the noise, in 255ths."""
    sensor_quality: tuple[int, int] = (45, 90)
    """Least and greatest JPEG quality of the camera's stream."""
    camera_height_m: tuple[float, float] = (0.0, 0.0)
    """Least and greatest height of cameras, all of them seeded; 0 0: the scene's own, then seeded at 2.5 ... 6."""
    endpoint: str = ""
    """host:port of a running Unreal Engine with UnrealCV; empty: the embedded simulator."""
    compat: bool = False
    """As the original's level: one AddActor spawns one person more than people_per_batch."""
    workers: int = 0
    """Simulators that run side by side; 0: one per core. Does not change the output."""
    keep_frames: bool = False
    """Also write every frame (lit image, instance mask, depth, truth) below OUT/frames."""
    timeout_s: float = 120.0
    """Longest wait for one reply of the endpoint, in seconds."""

    def __post_init__(self) -> None:
        require(
            self.textures == "generated" or self.pictures != "",
            f"synth.textures = {self.textures} needs synth.pictures, a folder of pictures",
        )
        require(0 <= self.picture_share <= 1, f"synth.picture_share must lie in 0 ... 1, got {self.picture_share}")
        require(self.people >= 1, f"synth.people must be at least 1, got {self.people}")
        require(
            0 <= self.test_people <= self.people,
            f"synth.test_people must lie in 0 ... synth.people = {self.people}, got {self.test_people}",
        )
        require(
            bool(self.scenes) and len(set(self.scenes)) == len(self.scenes) and min(self.scenes) >= 1,
            f"synth.scenes must be different numbers from 1, at least one, got {list(self.scenes)}",
        )
        require(
            bool(self.versions) and len(set(self.versions)) == len(self.versions) and set(self.versions) <= {1, 2, 3},
            f"synth.versions must be different ones of 1, 2 and 3, got {list(self.versions)}",
        )
        names = "|".join(GROUP_REGIONS)
        for text in self.groups:
            require(
                re.fullmatch(rf"(\d+\.[12]\.\d+: )?({names})(, ({names}))*", text) is not None,
                'synth.groups must be such as "bag, shoes" or "0.2.17: hat" (seed, version 1 or 2, person), regions '
                f"out of {', '.join(GROUP_REGIONS)}, got {text!r}",
            )
        require(not self.groups or 3 in self.versions, "synth.groups are people of version 3: add it to synth.versions")
        require(
            not self.place_is_code or ":" in self.place,
            f"synth.place must be FILE.py:FUNCTION, FILE.glb or FILE.gltf, got {self.place!r}",
        )
        require(
            not self.place or len(self.scenes) == 1,
            f"synth.place is one scene: give one of synth.scenes = {list(self.scenes)}",
        )
        require(
            not self.endpoint or len(self.scenes) == 1,
            f"synth.endpoint shows one level: give one of synth.scenes = {list(self.scenes)}",
        )
        require(
            self.people_per_batch >= 0,
            f"synth.people_per_batch must be 0 (the scene's own) or more, got {self.people_per_batch}",
        )
        require(0 <= self.crowding <= 1, f"synth.crowding must lie in 0 ... 1, got {self.crowding}")
        require(0 <= self.riders <= 1, f"synth.riders must lie in 0 ... 1, got {self.riders}")
        require(
            0 <= self.sensor_auto_exposure <= 1,
            f"synth.sensor_auto_exposure must lie in 0 ... 1, got {self.sensor_auto_exposure}",
        )
        require(0 <= self.cameras <= 999, f"synth.cameras must lie in 0 (the scene's own) ... 999, got {self.cameras}")
        require(self.instants >= 1, f"synth.instants must be at least 1, got {self.instants}")
        require(self.lights >= 0, f"synth.lights must be 0 (the scene's own) or more, got {self.lights}")
        require(self.interval_s > 0, f"synth.interval_s must be positive, got {self.interval_s}")
        require(
            64 <= self.width <= 4096 and 64 <= self.height <= 4096,
            f"synth.width and synth.height must lie in 64 ... 4096, got {self.width} x {self.height}",
        )
        for name, (least, most) in _RANGES.items():
            low, high = getattr(self, name)
            require(
                least <= low <= high <= most,
                f"synth.{name} must be two numbers in {least} ... {most}, the lower one first, got {[low, high]}",
            )
        require(self.workers >= 0, f"synth.workers must be 0 (one per core) or more, got {self.workers}")
        require(self.timeout_s > 0, f"synth.timeout_s must be positive, got {self.timeout_s}")

    @property
    def place_is_code(self) -> bool:
        """Whether building the scene runs code that synth.place names, which a data set may not choose."""
        return bool(self.place) and not self.place.endswith(MODEL_SUFFIXES)
