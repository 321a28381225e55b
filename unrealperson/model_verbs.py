"""The verbs that make something of exported models: the model itself, a camera more in it, a gallery, a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from unrealperson.config import EvaluateConfig, ExportConfig, SearchConfig, ServeConfig
from unrealperson.verb import VALUED, OptionalPath, Place, Verb, require_no_folder


@dataclass(frozen=True, kw_only=True)
class Export(Verb):
    """Writes a network as ONNX; refuses if ONNX Runtime does not give what torch gives.

    The file takes 8-bit images of any size; resizing, normalisation and the mirrored image are inside. It holds one
    table of batch-norm statistics per camera of --data and takes the camera of each image; 'calibrate' adds cameras
    later. With --export.statistics global, or folded and --export.camera, it is a plain convolution network.

    Example: unrealperson export --run runs/first --data my_crops --out model.onnx --export.precision int8
    """

    summary: ClassVar[str] = "a network -> ONNX, checked against torch"
    run: Path
    """Run folder of 'train'."""
    out: Path
    """File to write (.onnx); its parity report goes beside it."""
    data: OptionalPath = None
    """Crops of the cameras that the model will see; left out: the training crops."""
    evaluate: Annotated[EvaluateConfig, VALUED] = field(default_factory=EvaluateConfig)
    export: Annotated[ExportConfig, VALUED] = field(default_factory=ExportConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.export.convert import export

        require_no_folder(self.out, "model.onnx")
        manifest = None if self.data is None else read_images(self.data, skip_unreadable=True)
        export(self.run, self.out, self.resolved(), manifest)


@dataclass(frozen=True, kw_only=True)
class Calibrate(Verb):
    """Gives an exported model the batch-norm statistics of one more camera, from unlabelled crops of it.

    Needs no torch. The other cameras' features stay as they are, which is checked before the file is replaced.

    Example: unrealperson calibrate model.onnx --camera entrance crops_of_the_entrance
    """

    summary: ClassVar[str] = "an ONNX model and crops of a camera -> the model with that camera"
    model: Annotated[Path, tyro.conf.Positional]
    """ONNX file of 'export'."""
    data: Annotated[Path, tyro.conf.Positional]
    """Folder of unlabelled crops of that camera alone."""
    camera: str
    """The camera's number, as the names of its crops give it, or a name of your own."""
    out: OptionalPath = None
    """File to write; left out: the model is replaced."""
    evaluate: Annotated[EvaluateConfig, VALUED] = field(default_factory=EvaluateConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.export.calibrate import calibrate

        if self.out is not None:
            require_no_folder(self.out, "model.onnx")
        crops = read_images(self.data, skip_unreadable=True)
        calibrate(self.model, self.camera, crops, self.evaluate, out=self.out)


@dataclass(frozen=True, kw_only=True)
class Index(Verb):
    """Makes a gallery of a folder of crops (labels are not needed), ready for 'search'.

    Example: unrealperson index --model model.onnx --data my_crops --out gallery
    """

    summary: ClassVar[str] = "an ONNX model and crops -> a gallery"
    model: Path
    """ONNX file of 'export'."""
    data: Place
    """Folder of crops, or s3://bucket/folder."""
    out: Path
    """Folder of the gallery."""
    search: Annotated[SearchConfig, VALUED] = field(default_factory=SearchConfig)

    def execute(self) -> None:
        from unrealperson.gallery import index_images

        index_images(self.model, self.data, self.out, self.search)


@dataclass(frozen=True, kw_only=True)
class Serve(Verb):
    """Serves a gallery: a page to search it with at /, an HTTP API that /docs explains. Ctrl-C ends it, after the
    requests that are inside.

    It listens on this machine alone. Where other machines shall reach it, give it a token (in the environment variable
    UNREALPERSON_TOKEN, or --serve.token-file FILE) and, for encryption, a proxy in front.

    Example: unrealperson serve --gallery gallery

    For other machines: UNREALPERSON_TOKEN=... unrealperson serve --gallery gallery --serve.host 0.0.0.0 --log-json

    One query: curl -F image=@query.jpg '127.0.0.1:8000/search?k=5&rerank=true'
    """

    summary: ClassVar[str] = "a gallery -> a search page and an HTTP API"
    gallery: Path
    """Folder of 'index'."""
    model: OptionalPath = None
    """Another ONNX file of the gallery's network, such as one that 'calibrate' gave a camera more; left out: the
    gallery's own."""
    serve: Annotated[ServeConfig, VALUED] = field(default_factory=ServeConfig)

    def execute(self) -> None:
        from unrealperson.serve import serve

        serve(self.gallery, self.serve, model=self.model)
