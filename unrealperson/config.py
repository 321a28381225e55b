"""Configuration: one frozen dataclass per stage, read from TOML.

An unknown section or key is an error that names the nearest valid one. The resolved
configuration is saved beside every output with `save_config`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unrealperson.config_adapt import AdaptConfig
from unrealperson.files import write_text

CONFIG_VERSION = 1


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


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
        _require(
            self.textures == "generated" or self.pictures != "",
            f"synth.textures = {self.textures} needs synth.pictures, a folder of pictures",
        )
        _require(0 <= self.picture_share <= 1, f"synth.picture_share must lie in 0 ... 1, got {self.picture_share}")
        _require(self.people >= 1, f"synth.people must be at least 1, got {self.people}")
        _require(
            0 <= self.test_people <= self.people,
            f"synth.test_people must lie in 0 ... synth.people = {self.people}, got {self.test_people}",
        )
        _require(
            bool(self.scenes) and len(set(self.scenes)) == len(self.scenes) and min(self.scenes) >= 1,
            f"synth.scenes must be different numbers from 1, at least one, got {list(self.scenes)}",
        )
        _require(
            bool(self.versions) and len(set(self.versions)) == len(self.versions) and set(self.versions) <= {1, 2, 3},
            f"synth.versions must be different ones of 1, 2 and 3, got {list(self.versions)}",
        )
        _require(
            not self.place or self.place.endswith((".glb", ".gltf")) or ":" in self.place,
            f"synth.place must be FILE.py:FUNCTION, FILE.glb or FILE.gltf, got {self.place!r}",
        )
        _require(
            not self.place or len(self.scenes) == 1,
            f"synth.place is one scene: give one of synth.scenes = {list(self.scenes)}",
        )
        _require(
            not self.endpoint or len(self.scenes) == 1,
            f"synth.endpoint shows one level: give one of synth.scenes = {list(self.scenes)}",
        )
        _require(
            self.people_per_batch >= 0,
            f"synth.people_per_batch must be 0 (the scene's own) or more, got {self.people_per_batch}",
        )
        _require(0 <= self.crowding <= 1, f"synth.crowding must lie in 0 ... 1, got {self.crowding}")
        _require(0 <= self.riders <= 1, f"synth.riders must lie in 0 ... 1, got {self.riders}")
        _require(0 <= self.cameras <= 999, f"synth.cameras must lie in 0 (the scene's own) ... 999, got {self.cameras}")
        _require(self.instants >= 1, f"synth.instants must be at least 1, got {self.instants}")
        _require(self.lights >= 0, f"synth.lights must be 0 (the scene's own) or more, got {self.lights}")
        _require(self.interval_s > 0, f"synth.interval_s must be positive, got {self.interval_s}")
        _require(
            64 <= self.width <= 4096 and 64 <= self.height <= 4096,
            f"synth.width and synth.height must lie in 64 ... 4096, got {self.width} x {self.height}",
        )
        _require(self.workers >= 0, f"synth.workers must be 0 (one per core) or more, got {self.workers}")
        _require(self.timeout_s > 0, f"synth.timeout_s must be positive, got {self.timeout_s}")


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Rules that turn a frame and its instance mask into crops."""

    rules: Literal["visibility", "compat"] = "visibility"
    """How people are judged: by the share of them that is seen, or to the pixel as the original's toolkit does."""
    tolerance: int = 3
    """A pixel belongs to a person if each channel of the mask is within this of the person's colour."""
    min_pixels: int = 2000
    """A person needs more mask pixels than this."""
    border: int = 5
    """Reject boxes closer than this many pixels to the frame's edge."""
    enlarge: float = 0.1
    """Each side grows by a random whole number of pixels, up to this share of the box's side."""
    min_area: int = 2000
    """Reject enlarged boxes of fewer square pixels than this."""
    min_visibility: float = 0.3
    """Reject persons of whom less than this share is seen (rules "visibility", where the truth is known)."""
    min_keypoints: int = 4
    """Reject persons with fewer visible key points of 17 (rules "visibility", where the truth is known)."""
    min_fill: float = 0.3
    """Reject persons whose mask fills less than this share of its tight box (rules "compat", or no truth)."""
    quality: int = 90
    """JPEG quality of the crops."""
    seed: int = 0
    """Seed of the random enlargement."""

    def __post_init__(self) -> None:
        _require(0 <= self.tolerance <= 7, f"crop.tolerance must lie in 0 ... 7, got {self.tolerance}")
        _require(self.min_pixels >= 0, f"crop.min_pixels must not be negative, got {self.min_pixels}")
        _require(self.border >= 0, f"crop.border must not be negative, got {self.border}")
        _require(0 <= self.enlarge <= 1, f"crop.enlarge must lie in 0 ... 1, got {self.enlarge}")
        _require(0 <= self.min_visibility <= 1, f"crop.min_visibility must lie in 0 ... 1, got {self.min_visibility}")
        _require(0 <= self.min_keypoints <= 17, f"crop.min_keypoints must lie in 0 ... 17, got {self.min_keypoints}")
        _require(0 <= self.min_fill <= 1, f"crop.min_fill must lie in 0 ... 1, got {self.min_fill}")
        _require(1 <= self.quality <= 100, f"crop.quality must lie in 1 ... 100, got {self.quality}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Network, losses, sampler and schedule (paper section 4.1)."""

    backbone: Literal["efficientnet_lite0", "resnet50", "resnet50_ibn_a", "osnet_x0_25", "osnet_x1_0"] = (
        "efficientnet_lite0"
    )
    """Feature network: resnet50 is the paper's; efficientnet_lite0 and osnet_x0_25 are quick on a CPU."""
    weights: str = ""
    """Path of backbone weights; empty: the network's published ImageNet weights; none: drawn from the seed."""
    from_run: str = ""
    """Folder of a run whose network training starts from (fine-tuning), but for its classifier; empty: weights."""
    objective: Literal["identities", "contrast"] = "identities"
    """Tell the labelled identities, or tell views of one image from others (momentum contrast, needs no labels)."""
    norm: Literal["cbn", "bn"] = "cbn"
    """Camera-based batch norm, or plain batch norm as the baseline."""
    sync_norm: bool = True
    """Under torchrun, take the norm's statistics over all processes' images: the same as one process would."""
    height: int = 256
    """Input height in pixels."""
    width: int = 128
    """Input width in pixels."""
    epochs: int = 15
    """Passes over the training crops."""
    decay_epoch: int = 10
    """From this epoch on the learning rate is a tenth."""
    second_decay_epoch: int = 0
    """From this epoch on it is a hundredth; 0: never."""
    warmup_epochs: int = 0
    """Over so many epochs the learning rate grows from a hundredth of its value."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum, or Adam."""
    learning_rate: float = 0.01
    """Step size."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """L2 penalty."""
    label_smoothing: float = 0.0
    """Share of the label that is spread over all identities, 0 ... 1."""
    triplet: float = 0.0
    """Weight of the triplet loss, its triplets the hardest of the batch; 0: without."""
    triplet_margin: float = 0.3
    """Distance that the triplet loss wants between the others and one's own; 0: the soft margin."""
    circle: float = 0.0
    """Weight of the circle loss; 0: without."""
    center: float = 0.0
    """Weight of the center loss; 0: without."""
    ema: float = 0.0
    """Keep a running mean of the weights with this decay, such as 0.999, and save it as the network; 0: without."""
    queue: int = 4096
    """Momentum contrast: images that each image is told from."""
    temperature: float = 0.2
    """Momentum contrast: divides the cosines."""
    teacher_decay: float = 0.999
    """Momentum contrast: how slowly the teacher follows the network."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """bfloat16 and float16 run convolutions and products in 16 bits (automatic mixed precision)."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one step; batch norm sees each batch alone."""
    compiler: str = ""
    """Backend of torch.compile for the network, such as inductor; empty: not compiled."""
    checkpoint_minutes: float = 10.0
    """Save at least so often, besides the end of each epoch; 0: only then, and when the process is told to end."""
    tensorboard: bool = False
    """Also write what TensorBoard shows, to OUT/tensorboard."""
    sampler: Literal["camera_balanced", "identity", "random"] = "camera_balanced"
    """Batches by camera and identity; of as many identities under any cameras; or of any images; all equally large."""
    source_weights: tuple[str, ...] = ()
    """How often the images of a source are drawn, "X.Y=weight" for unreal_vX.Y (X or Y may be *); 1 where unnamed."""
    cameras_per_batch: int = 8
    """Cameras drawn for a batch, with replacement (balanced sampling of the paper's reference 55)."""
    identities_per_camera: int = 2
    """Identities drawn for each of those cameras."""
    images_per_identity: int = 4
    """Images of each such identity under that camera, or tracklets where train.frames is above 1."""
    frames: int = 1
    """Above 1: so many frames of a tracklet make one feature (video re-identification)."""
    frame_pooling: Literal["mean", "attention"] = "mean"
    """How a tracklet's frames make one feature: all alike, or weighed by a learnt score."""
    flip: float = 0.5
    """Probability of a horizontal mirror."""
    pad: int = 10
    """Zero pixels added on each side before the random crop back to the input size."""
    erasing: float = 0.0
    """Probability that a random rectangle of 2 ... 40 % of the image becomes the mean colour."""
    jitter: float = 0.0
    """Greatest relative change of contrast and saturation, and half of it for each colour channel, 0 ... 1."""
    brightness: float = 0.0
    """Greatest change of brightness as a power of two, such as 1 for half ... double the light."""
    blur: float = 0.0
    """Probability of a blur, as of a camera out of focus."""
    jpeg: float = 0.0
    """Probability of JPEG compression at quality 20 ... 80."""
    loader: Literal["torch", "dali"] = "torch"
    """What decodes and augments: a torch DataLoader, or NVIDIA DALI (on the GPU where there is one); same images."""
    workers: int = -1
    """Processes (torch) or threads (DALI) that work ahead of training; -1: one a core, 0 with torch on a CPU where all
    images are kept decoded."""
    min_images: int = 2
    """A camera with fewer images in a batch is normalised by the statistics of the whole batch."""
    seed: int = 0
    """Seed of initial weights, sampler and augmentation."""

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, f"train.epochs must be at least 1, got {self.epochs}")
        _require(self.learning_rate > 0, f"train.learning_rate must be positive, got {self.learning_rate}")
        _require(
            32 <= self.height <= 1024 and 32 <= self.width <= 1024,
            f"train.height and train.width must lie in 32 ... 1024, got {self.height} x {self.width}",
        )
        for name in ("cameras_per_batch", "identities_per_camera", "images_per_identity", "frames", "accumulate"):
            _require(getattr(self, name) >= 1, f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("flip", "label_smoothing", "erasing", "jitter", "blur", "jpeg"):
            _require(0 <= getattr(self, name) <= 1, f"train.{name} must lie in 0 ... 1, got {getattr(self, name)}")
        for name in (
            "triplet", "triplet_margin", "circle", "center", "checkpoint_minutes", "warmup_epochs",
            "second_decay_epoch", "brightness",
        ):  # fmt: skip
            _require(getattr(self, name) >= 0, f"train.{name} must not be negative, got {getattr(self, name)}")
        _require(self.brightness <= 4, f"train.brightness must lie in 0 ... 4, got {self.brightness}")
        _require(0 <= self.ema < 1, f"train.ema must lie in 0 ... 1, 1 excluded, got {self.ema}")
        _require(0 <= self.teacher_decay < 1, f"train.teacher_decay must lie in 0 ... 1, got {self.teacher_decay}")
        _require(self.temperature > 0, f"train.temperature must be positive, got {self.temperature}")
        _require(self.pad >= 0, f"train.pad must not be negative, got {self.pad}")
        _require(self.min_images >= 2, f"train.min_images must be at least 2, got {self.min_images}")
        _require(
            self.frames == 1 or not (self.source_weights or self.objective == "contrast"),
            "train.frames above 1 goes with neither train.source_weights nor train.objective = contrast",
        )
        if self.objective == "contrast":
            _require(
                self.sampler == "identity" and self.images_per_identity == 2 and not self.source_weights,
                'train.objective = contrast takes two views of each image: set train.sampler = "identity" and '
                "train.images_per_identity = 2, without train.source_weights",
            )
            _require(
                self.queue >= self.batch_size // 2,
                f"train.queue must hold the {self.batch_size // 2} images of a batch, got {self.queue}",
            )
        _require(-1 <= self.workers <= 256, f"train.workers must lie in -1 ... 256, got {self.workers}")

    @property
    def batch_size(self) -> int:
        """Images in one training batch."""
        return self.cameras_per_batch * self.identities_per_camera * self.images_per_identity * self.frames


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How features are extracted and scored."""

    batch_size: int = 32
    """Images in one forward pass."""
    statistics_images: int = 320
    """At most so many images of a camera give its batch-norm statistics (10 batches of 32)."""
    min_statistics_images: int = 32
    """A camera with fewer images takes what few_images says."""
    statistics: Literal["pooled", "split"] = "pooled"
    """A camera's statistics come from all of its images, or apart for queries and gallery as in the authors' code."""
    few_images: Literal["global", "nearest", "source"] = "global"
    """Statistics for a camera with few images: of all images, of the camera most alike, or of the training."""
    unknown_cameras: Literal["global", "clusters"] = "global"
    """Statistics for images of unknown cameras: of all images, or of clusters of images alike in style."""
    pseudo_cameras: int = 4
    """Number of those clusters."""
    where: tuple[str, ...] = ()
    """Score only the rows that meet all of these, such as "hours=night" or "top_color=black" (as data subset)."""
    mirror: bool = True
    """Add the feature of the mirrored image."""
    tracklets: bool = False
    """Score tracklets instead of single images (video re-identification, the protocol of MARS)."""
    ranks: tuple[int, ...] = (1, 5, 10)
    """Ranks of the cumulative matching characteristic."""
    bootstrap: int = 1000
    """Resamples of the identities for the 95 % intervals; 0 leaves them out."""
    rerank: bool = False
    """Also score k-reciprocal re-ranking."""
    rerank_k1: int = 20
    """Neighbours that have to be mutual."""
    rerank_k2: int = 6
    """Rows over which neighbourhoods are averaged."""
    rerank_lambda: float = 0.3
    """Share of the original distance, 0 ... 1."""
    joint: bool = False
    """Also score looks and times together (JVTC+), from cameras and frame numbers."""
    bin_frames: int = 100
    """Frames of one step of its time histograms: 100 for video, 1 where frames are numbered by instants."""
    temporal_sigma: float = 50.0
    """Smoothing of the histograms, in such steps; about 1 where people take a few steps from camera to camera."""
    false_accepts: tuple[float, ...] = (0.1, 0.01, 0.001)
    """Open-set search: shares of searches for absent people that may name somebody; each gives a threshold."""
    threshold: float = 0.0
    """Open-set search: also this threshold on the cosine similarity, such as one in use; 0: none."""
    curve_images: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 320)
    """--curve: images of each camera that its statistics are estimated from."""
    curve_draws: int = 3
    """--curve: random draws of those images."""
    seed: int = 0
    """Seed of the statistics' image sample and of the bootstrap."""

    def __post_init__(self) -> None:
        _require(self.batch_size >= 2, f"evaluate.batch_size must be at least 2, got {self.batch_size}")
        _require(
            self.statistics_images >= 2, f"evaluate.statistics_images must be at least 2, got {self.statistics_images}"
        )
        _require(
            self.min_statistics_images >= 2,
            f"evaluate.min_statistics_images must be at least 2, got {self.min_statistics_images}",
        )
        _require(self.bootstrap >= 0, f"evaluate.bootstrap must not be negative, got {self.bootstrap}")
        for name in ("pseudo_cameras", "rerank_k1", "rerank_k2", "bin_frames", "curve_draws"):
            _require(getattr(self, name) >= 1, f"evaluate.{name} must be at least 1, got {getattr(self, name)}")
        _require(0 <= self.rerank_lambda <= 1, f"evaluate.rerank_lambda must lie in 0 ... 1, got {self.rerank_lambda}")
        _require(self.temporal_sigma >= 0, f"evaluate.temporal_sigma must not be negative, got {self.temporal_sigma}")
        _require(
            all(0 < rate < 1 for rate in self.false_accepts),
            f"evaluate.false_accepts must lie between 0 and 1, got {self.false_accepts}",
        )
        _require(-1 <= self.threshold <= 1, f"evaluate.threshold must lie in -1 ... 1, got {self.threshold}")
        _require(
            bool(self.curve_images) and min(self.curve_images) >= 2,
            f"evaluate.curve_images must be 2 or more, got {self.curve_images}",
        )
        _require(bool(self.ranks) and min(self.ranks) >= 1, f"evaluate.ranks must be 1 or more, got {self.ranks}")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """ONNX export and its parity gate."""

    statistics: Literal["cameras", "folded", "global"] = "cameras"
    """Batch norm as tables of all cameras with a camera input; or folded into the convolutions for one camera; or for
    the statistics of all cameras."""
    camera: int = -1
    """The camera that "folded" folds."""
    pixels: bool = True
    """Take 8-bit RGB images and normalise them in the graph; off: float32 [n, 3, height, width], normalised."""
    resize: bool = True
    """Take images of any size and resize them in the graph as Pillow would; off: of the network's size only."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """Of weights and products; int8 is calibrated on the crops."""
    calibration_images: int = 128
    """Crops that give the ranges of int8."""
    opset: int = 18
    """ONNX operator set, 18 or newer."""
    min_cosine: float = 0.0
    """Smallest cosine between the torch and the ONNX feature of one image; below it no file is written. 0: what suits
    the precision, 0.9999 for float32, 0.99 for float16, 0.9 for int8."""
    min_rank1_agreement: float = 0.0
    """Share of crops whose nearest other crop must be the same by both; 0: 0.98 for float32, 0.95 for float16, 0.9 for
    int8."""

    def __post_init__(self) -> None:
        _require(self.opset >= 18, f"export.opset must be at least 18, got {self.opset}")
        _require(
            self.calibration_images >= 1, f"export.calibration_images must be at least 1, got {self.calibration_images}"
        )
        for name in ("min_cosine", "min_rank1_agreement"):
            _require(0 <= getattr(self, name) <= 1, f"export.{name} must lie in 0 ... 1, got {getattr(self, name)}")
        _require(
            (self.statistics == "folded") == (self.camera != -1),
            f'export.camera names the camera that export.statistics "folded" folds, and goes with it alone; got '
            f"camera {self.camera} with {self.statistics!r}",
        )


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Gallery building and search."""

    k: int = 10
    """Hits to return."""
    batch_size: int = 32
    """Images in one run of the ONNX model."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """Of the stored vectors; int8 chooses candidates, which float16 vectors beside it decide."""
    backend: Literal["exact", "faiss_hnsw", "faiss_ivfpq", "milvus"] = "exact"
    """What finds candidates: all rows, a graph or compressed lists of faiss, or Milvus."""
    milvus_uri: str = ""
    """Address of a Milvus cluster, such as http://127.0.0.1:19530; empty: a file of milvus-lite in the gallery."""
    cameras: tuple[int, ...] = ()
    """Only hits under these cameras."""
    sources: tuple[str, ...] = ()
    """Only hits in these folders below the root."""
    attributes: tuple[str, ...] = ()
    """Only hits of people with these attributes, "name=value"."""
    from_frame: int = -1
    """Only hits from this frame number on; -1: any."""
    to_frame: int = -1
    """Only hits before this frame number; -1: any."""
    group: Literal["none", "identity", "tracklet"] = "none"
    """Return one hit for each person, or for each passage of a person under a camera."""
    rerank: bool = False
    """Order the first hits by their common neighbours (k-reciprocal re-ranking)."""
    rerank_hits: int = 100
    """How many are ordered so."""

    def __post_init__(self) -> None:
        for name in ("k", "batch_size", "rerank_hits"):
            _require(getattr(self, name) >= 1, f"search.{name} must be at least 1, got {getattr(self, name)}")
        for text in self.attributes:
            _require("=" in text, f'search.attributes must be "name=value", got {text!r}')


@dataclass(frozen=True, kw_only=True)
class Config:
    """All sections; a TOML file may hold any of them."""

    synth: SynthConfig = field(default_factory=SynthConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    search: SearchConfig = field(default_factory=SearchConfig)


def load_config(path: str | Path | None = None) -> Config:
    """Reads a TOML file into a `Config`; what the file leaves out keeps its default.

    Args:
        path: TOML file, or None for the defaults.

    Raises:
        ValueError: unknown section or key, wrong type, value out of range, or not TOML.
        FileNotFoundError: no such file.
    """
    if path is None:
        return Config()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such configuration file: {path}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    return parse_config(document, str(path))


def parse_config(document: dict[str, Any], where: str) -> Config:
    """Builds a `Config` from sections; what they leave out keeps its default.

    Args:
        document: section name -> key -> value, as TOML or JSON give them.
        where: what the sections come from, for messages.

    Raises:
        ValueError: unknown section or key, wrong type, or value out of range.
    """
    document = dict(document)
    version = document.pop("version", CONFIG_VERSION)
    if version != CONFIG_VERSION:
        raise ValueError(f"{where} has format version {version}; this release reads version {CONFIG_VERSION}")
    sections = {section.name: section for section in dataclasses.fields(Config)}
    built = {}
    for name, table in document.items():
        if name not in sections:
            raise ValueError(f"{where}: unknown section [{name}]{_nearest(name, sections)}")
        if not isinstance(table, dict):
            raise ValueError(f"{where}: '{name}' must be a section, written [{name}], got {table!r}")
        built[name] = _build(typing.get_type_hints(Config)[name], table, where=f"{where}: [{name}]")
    return Config(**built)


def format_config(config: Config) -> str:
    """A `Config` as TOML that `load_config` reads back unchanged.

    Args:
        config: what to write.
    """
    lines = [f"version = {CONFIG_VERSION}"]
    for section in dataclasses.fields(config):
        lines += ["", f"[{section.name}]"]
        values = getattr(config, section.name)
        lines += [f"{key.name} = {_toml(getattr(values, key.name))}" for key in dataclasses.fields(values)]
    return "\n".join(lines) + "\n"


def save_config(config: Config, path: str | Path) -> None:
    """Writes what `format_config` gives.

    Args:
        config: what to save.
        path: file to write; it appears complete or not at all.
    """
    write_text(path, format_config(config))


def _build(section: type, table: dict[str, Any], *, where: str) -> Any:
    keys = {key.name: key for key in dataclasses.fields(section)}
    hints = typing.get_type_hints(section)
    values = {}
    for name, value in table.items():
        if name not in keys:
            raise ValueError(f"{where} has unknown key '{name}'{_nearest(name, keys)}")
        values[name] = _convert(value, hints[name], where=f"{where} {name}")
    try:
        return section(**values)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from error


def _convert(value: Any, hint: Any, *, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ValueError(f"{where} must be one of {', '.join(map(repr, choices))}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, typing.get_args(hint)[0], where=where) for item in value)
    if hint is float and type(value) is int:
        value = float(value)
    expected = origin or hint
    if isinstance(expected, types.UnionType) or type(value) is not expected:
        raise ValueError(f"{where} must be {getattr(expected, '__name__', expected)}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} must be a finite number, got {value!r}")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)


def _nearest(name: str, valid: typing.Iterable[str]) -> str:
    valid = list(valid)
    close = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; valid ones are {', '.join(valid)}"
