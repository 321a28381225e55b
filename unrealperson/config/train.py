"""Configuration section [train]: network, losses, sampler, schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require


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
    """Passes over the training crops, or parts of the training of epoch_images each."""
    epoch_images: int = 0
    """Images of one epoch, so that trainings on sets of different size see equally many; 0: as many as the set has."""
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
    contrast: float = 0.0
    """Greatest relative change of contrast, 0 ... 1."""
    white_balance: float = 0.0
    """Greatest relative change of red and of blue against green, 0 ... 1."""
    blur: float = 0.0
    """Probability of a blur, as of a camera out of focus."""
    resolution: float = 0.0
    """Probability that the image has only a quarter ... all of its pixels a side, as of somebody far away."""
    noise: float = 0.0
    """Greatest standard deviation of the brightness noise, in 255ths."""
    sharpen: float = 0.0
    """Greatest strength of an unsharp mask, such as 1.5, with the bright and dark rims that cameras draw at edges."""
    jpeg: float = 0.0
    """Probability of JPEG compression at quality 20 ... 80."""
    box: float = 0.0
    """Each edge of the crop moves in or out by up to this share of its height or width, as a detector's boxes do."""
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
        require(self.epochs >= 1, f"train.epochs must be at least 1, got {self.epochs}")
        require(self.learning_rate > 0, f"train.learning_rate must be positive, got {self.learning_rate}")
        require(
            32 <= self.height <= 1024 and 32 <= self.width <= 1024,
            f"train.height and train.width must lie in 32 ... 1024, got {self.height} x {self.width}",
        )
        for name in ("cameras_per_batch", "identities_per_camera", "images_per_identity", "frames", "accumulate"):
            require(getattr(self, name) >= 1, f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in (
            "flip", "label_smoothing", "erasing", "jitter", "contrast", "white_balance", "blur", "resolution", "jpeg",
        ):  # fmt: skip
            require(0 <= getattr(self, name) <= 1, f"train.{name} must lie in 0 ... 1, got {getattr(self, name)}")
        for name in (
            "triplet", "triplet_margin", "circle", "center", "checkpoint_minutes", "warmup_epochs",
            "second_decay_epoch", "epoch_images",
        ):  # fmt: skip
            require(getattr(self, name) >= 0, f"train.{name} must not be negative, got {getattr(self, name)}")
        for name, most in (("brightness", 4), ("noise", 100), ("sharpen", 10), ("box", 0.4)):
            value = getattr(self, name)
            require(0 <= value <= most, f"train.{name} must lie in 0 ... {most}, got {value}")
        require(0 <= self.ema < 1, f"train.ema must lie in 0 ... 1, 1 excluded, got {self.ema}")
        require(0 <= self.teacher_decay < 1, f"train.teacher_decay must lie in 0 ... 1, got {self.teacher_decay}")
        require(self.temperature > 0, f"train.temperature must be positive, got {self.temperature}")
        require(self.pad >= 0, f"train.pad must not be negative, got {self.pad}")
        require(self.min_images >= 2, f"train.min_images must be at least 2, got {self.min_images}")
        require(
            self.frames == 1 or not (self.source_weights or self.objective == "contrast"),
            "train.frames above 1 goes with neither train.source_weights nor train.objective = contrast",
        )
        if self.objective == "contrast":
            require(
                self.sampler == "identity" and self.images_per_identity == 2 and not self.source_weights,
                'train.objective = contrast takes two views of each image: set train.sampler = "identity" and '
                "train.images_per_identity = 2, without train.source_weights",
            )
            require(
                self.queue >= self.batch_size // 2,
                f"train.queue must hold the {self.batch_size // 2} images of a batch, got {self.queue}",
            )
        require(-1 <= self.workers <= 256, f"train.workers must lie in -1 ... 256, got {self.workers}")

    @property
    def batch_size(self) -> int:
        """Images in one training batch."""
        return self.cameras_per_batch * self.identities_per_camera * self.images_per_identity * self.frames
