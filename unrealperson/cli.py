"""The command line: one verb per stage, `unrealperson VERB --help` explains each.

A verb is a dataclass: its fields are its inputs and outputs and the configuration sections it
uses; `execute` calls the stage's one public function.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from unrealperson import __version__
from unrealperson.config import (
    AdaptConfig,
    Config,
    CropConfig,
    EvaluateConfig,
    ExportConfig,
    SearchConfig,
    SynthConfig,
    TrainConfig,
    load_config,
)
from unrealperson.data_verbs import DataCheck, DataExport, DataMerge, DataSubset, Regenerate
from unrealperson.endpoint_verbs import Poses, Simulate
from unrealperson.experiment_verbs import Ablate, Fit, Harden
from unrealperson.gallery_verbs import GalleryAdd, GalleryCheck, GalleryRemove, GallerySave, GalleryThreshold, Search
from unrealperson.log import configure_logging, get_logger
from unrealperson.model_verbs import Calibrate, Export, Index, Serve
from unrealperson.storage import is_url
from unrealperson.verb import VALUED, OptionalPath, Place, ShardedVerb, Switch, Verb, require_no_folder

logger = get_logger(__name__)

DEMO_CONFIG = Path(__file__).with_name("demo.toml")


@dataclass(frozen=True, kw_only=True)
class Doctor(Verb):
    """Tells what this machine has and lacks, and the one command that mends each lack.

    With --endpoint it tries a running Unreal Engine instead: connection, people, pause, camera, images and
    mask colours, as a capture will use them. The level's people are replaced by new ones.

    Exit status 0: the default pipeline, or a capture, can run here; 1: something that it needs is missing.
    """

    summary: ClassVar[str] = "what this machine has and lacks, and how to mend it"

    endpoint: str = ""
    """host:port (or Unix socket) of a running Unreal Engine with UnrealCV to try."""
    people: int = 0
    """People that its event AddActor should make; 0: any number."""

    def execute(self) -> int:
        from unrealperson.doctor import diagnose, diagnose_endpoint, healthy, print_findings

        if self.endpoint:
            findings = list(diagnose_endpoint(self.endpoint, people=self.people))
            print_findings(findings, fine="a capture can run there", amiss="a capture there would fail")
        else:
            findings = diagnose()
            print_findings(findings)
        return 0 if healthy(findings) else 1


@dataclass(frozen=True, kw_only=True)
class Synth(ShardedVerb):
    """Makes a labelled data set: people walk, cameras look, masks become crops.

    Writes OUT/manifest.parquet and OUT/unreal_vX.Y/images/. Stopped at any moment, the same
    command goes on where it was. The same configuration and seed give the same crops.

    With --people-out it writes the people themselves, for Unreal Engine, Blender or any other tool:
    PEOPLE_OUT/P_000012/person.glb (rig, walk and stand, levels of detail) and person.json (attributes).

    Example: unrealperson synth --out data --synth.people 100 --synth.cameras 6
    """

    summary: ClassVar[str] = "people, scene and cameras -> labelled crops"
    resumes: ClassVar[bool] = True
    out: Annotated[str | None, tyro.conf.arg(metavar="PATH|URL")] = None
    """Folder of the data set, or s3://bucket/folder; left out: only the people are written."""
    people_out: OptionalPath = None
    """Folder for the people as glTF; left out: only the data set is made."""
    synth: Annotated[SynthConfig, VALUED] = field(default_factory=SynthConfig)
    crop: Annotated[CropConfig, VALUED] = field(default_factory=CropConfig)

    def execute(self) -> None:
        if self.out is None and self.people_out is None:
            raise ValueError("nowhere to write to: give --out DIR for a data set, --people-out DIR for people, or both")
        if self.people_out is not None:
            from unrealperson.synth.people.export import export_people

            folders = export_people(self.resolved(), self.people_out)
            logger.info("%s: %d people", self.people_out, len(folders))
        if self.out is not None:
            from unrealperson.synth.shards import synthesize

            with self.cluster() as cluster:
                manifest = synthesize(self.resolved(), self.out, executor=cluster)
            logger.info("%s: %s", self.out, manifest.summary())


@dataclass(frozen=True, kw_only=True)
class Crop(ShardedVerb):
    """Crops frames on disk: those that 'unrealperson synth --synth.keep-frames True' kept, with other rules if you
    like, or those of the original's toolkit (c001_17_lit.png, c001_17_mask.png, object_color.pkl or .json).

    Example: unrealperson crop --data data/frames --out recropped --crop.min-pixels 4000
    """

    summary: ClassVar[str] = "kept frames and masks -> crops"
    data: Path
    """Folder of kept frames (OUT/frames of synth)."""
    out: Place
    """Folder of the new data set, or s3://bucket/folder."""
    crop: Annotated[CropConfig, VALUED] = field(default_factory=CropConfig)

    def execute(self) -> None:
        from unrealperson.crop import crop_folder

        with self.cluster() as cluster:
            manifest = crop_folder(self.data, self.out, self.crop, executor=cluster)
        logger.info("%s: %s", self.out, manifest.summary())


@dataclass(frozen=True, kw_only=True)
class Train(Verb):
    """Trains a re-identification network with camera-based batch norm.

    Stopped at any moment, the same command goes on at the last finished epoch, or where a
    checkpoint in mid-epoch or a polite end (SIGTERM) left it.

    Example: unrealperson train --data data --out runs/first --train.epochs 15
    """

    summary: ClassVar[str] = "crops -> a trained network"
    resumes: ClassVar[bool] = True
    data: Place
    """Data set: a folder (or s3://bucket/folder) with a manifest, or of images named as in Market-1501."""
    out: Path
    """Folder of the run: checkpoint, metrics.jsonl, config.toml."""
    train: Annotated[TrainConfig, VALUED] = field(default_factory=TrainConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.train import train

        train(read_images(self.data, skip_unreadable=True), self.resolved(), self.out)


@dataclass(frozen=True, kw_only=True)
class Adapt(Verb):
    """Adapts a network to a site's unlabelled crops: JVTC with camera-based batch norm, or cluster contrast.

    With --data, labelled crops such as the synthetic ones that the network learnt from, their loss is added; without
    them the run and the crops are all that is needed. Labels of the target, where it has some, are used for scores
    alone; with times on one clock of all cameras it is also scored by looks and times together (JVTC+).

    Example: unrealperson adapt --run runs/first --target my_crops --data data --out runs/adapted
    """

    summary: ClassVar[str] = "a run and unlabelled crops -> a network adapted to them"
    resumes: ClassVar[bool] = True
    run: Path
    """Run folder of 'train' to start from."""
    target: Place
    """Folder of the site's crops (or s3://bucket/folder), or a data set; those with split train where it has splits."""
    out: Path
    """Folder of the adapted run."""
    data: Annotated[str | None, tyro.conf.arg(metavar="PATH|URL")] = None
    """Labelled source data set; left out: source-free."""
    adapt: Annotated[AdaptConfig, VALUED] = field(default_factory=AdaptConfig)
    evaluate: Annotated[EvaluateConfig, VALUED] = field(default_factory=EvaluateConfig)

    def execute(self) -> None:
        from unrealperson.adapt import adapt, format_summary
        from unrealperson.data.sources import read_images
        from unrealperson.report.adaptation import write_adaptation_report

        target = read_images(self.target, skip_unreadable=True)
        source = None if self.data is None else read_images(self.data, skip_unreadable=True)
        summary = adapt(self.run, target, self.resolved(), self.out, source)
        if summary:
            print(format_summary(summary))
            logger.info("the report is at %s", write_adaptation_report(self.out))


@dataclass(frozen=True, kw_only=True)
class Extract(ShardedVerb):
    """Writes the feature vectors of a folder of crops, with batch-norm statistics of its own cameras.

    To a URL they go in parts, one .npz each, and the same command goes on where it was stopped.

    Example: unrealperson extract --run runs/first --data crops --out features.npz
    """

    summary: ClassVar[str] = "crops -> feature vectors"
    data: Place
    """Data set or folder of crops, or s3://bucket/folder."""
    out: Place
    """File to write (.npz), or s3://bucket/folder for one file from each shard."""
    run: OptionalPath = None
    """Run folder of 'train'; left out: the backbone with its ImageNet weights."""
    evaluate: Annotated[EvaluateConfig, VALUED] = field(default_factory=EvaluateConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.evaluate import extract_run, extract_run_to

        if is_url(self.out):
            manifest = read_images(self.data, skip_unreadable=True)
            with self.cluster() as cluster:
                parts = extract_run_to(self.out, self.run, manifest, self.resolved(), executor=cluster)
            logger.info("%s: vectors of %d images in %d parts", self.out, len(manifest), parts)
            return
        require_no_folder(Path(self.out), "features.npz")
        manifest = read_images(self.data, skip_unreadable=True)
        with self.cluster() as cluster:
            features = extract_run(self.run, manifest, self.resolved(), executor=cluster)
        features.save(self.out)
        logger.info("%s: %d vectors of %d numbers", self.out, *features.vectors.shape)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Verb):
    """Scores a network across cameras: rank-1, rank-5, rank-10, mAP and mINP with 95 % intervals, each pair of cameras,
    and at which similarity a hit may be believed (false accepts, false rejects).

    Scored are the rows marked query and gallery, or else those marked test, or else all; then the first image of each
    person and camera is a query. Each camera's batch-norm statistics come from its own images, without labels; what
    cameras with few images or without a number take instead, --evaluate.few-images and --evaluate.unknown-cameras say.

    Example: unrealperson evaluate --run runs/first --data market1501 --out scores --evaluate.rerank True

    A synthetic set: unrealperson evaluate --run runs/first --data data --out scores --factors --curve

    One image: unrealperson evaluate --run runs/first --data gallery --query 0002_c1s1_000451_03.jpg
    """

    summary: ClassVar[str] = "a network and labelled crops -> CMC, mAP, mINP"
    data: Place
    """Data set, or folder of crops named as in Market-1501, or s3://bucket/folder."""
    run: OptionalPath = None
    """Run folder of 'train'; left out: the backbone with its ImageNet weights."""
    query: OptionalPath = None
    """One image, or a folder, to look for in DATA; left out: DATA holds the queries."""
    out: OptionalPath = None
    """Folder for metrics.json, metrics.txt, report.html, features.npz and ranking.json; left out: only print."""
    factors: Switch = False
    """Also score by view, light, occlusion, distance, accessories and look-alikes (synthetic sets know these)."""
    curve: Switch = False
    """Also score with statistics from 2 ... 320 images of each camera; goes on where it was stopped."""
    evaluate: Annotated[EvaluateConfig, VALUED] = field(default_factory=EvaluateConfig)

    def _score_tracklets(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.evaluate import format_metrics
        from unrealperson.video import evaluate_tracklets

        manifest = read_images(self.data, skip_unreadable=True)
        print(format_metrics(evaluate_tracklets(self.run, manifest, self.out, self.resolved())))

    def execute(self) -> None:
        if self.evaluate.tracklets:
            if self.query or self.factors or self.curve:
                raise ValueError("--query, --factors and --curve are for images; leave them out, or evaluate.tracklets")
            self._score_tracklets()
            return
        from unrealperson.evaluate import evaluate_run, format_metrics

        metrics = evaluate_run(
            self.run, self.data, self.out, self.resolved(), query=self.query, factors=self.factors, curve=self.curve
        )
        print(format_metrics(metrics))
        if self.out is not None:
            from unrealperson.report.evaluation import write_evaluation

            logger.info("the report is at %s", write_evaluation(self.out, self.out / "report.html"))


@dataclass(frozen=True, kw_only=True)
class Report(Verb):
    """Writes one self-contained HTML page about a demo folder, an evaluation, an adapted run or a gallery.

    Example: unrealperson report --data demo --out demo/report.html

    An evaluation: unrealperson report --data scores --out scores.html

    A gallery: unrealperson report --data gallery --out gallery.html
    """

    summary: ClassVar[str] = "a demo folder, an evaluation, an adapted run or a gallery -> one HTML page"
    data: Path
    """Folder that 'demo', 'adapt' or 'index' made, or the --out of 'evaluate'."""
    out: Path
    """Page to write (.html)."""

    def execute(self) -> None:
        from unrealperson.report.adaptation import write_adaptation_report
        from unrealperson.report.demo import write_report

        require_no_folder(self.out, "report.html")
        if (self.data / "adaptation.json").is_file():
            logger.info("the report is at %s", write_adaptation_report(self.data, self.out))
        elif (self.data / "gallery.json").is_file():
            from unrealperson.report.gallery import write_gallery_report

            logger.info("the report is at %s", write_gallery_report(self.data, self.out))
        elif (self.data / "fit.json").is_file():
            from unrealperson.report.fit import write_fit_report

            logger.info("the report is at %s", write_fit_report(self.data, self.out))
        elif (self.data / "hardening.json").is_file():
            from unrealperson.report.harden import write_hardening_report

            logger.info("the report is at %s", write_hardening_report(self.data, self.out))
        elif (self.data / "metrics.json").is_file():
            from unrealperson.report.evaluation import write_evaluation

            logger.info("the report is at %s", write_evaluation(self.data, self.out))
        else:
            logger.info("the report is at %s", write_report(self.data, self.out))


@dataclass(frozen=True, kw_only=True)
class Demo(Verb):
    """Runs every stage in small, from nothing to a report; with --real it ends on your own crops.

    Stopped at any moment, the same command goes on at the stage where it was. Settings that the command
    line leaves out are those that OUT was begun with; in a new folder, those of a run of some minutes.

    Example: unrealperson demo --out demo --real my_crops
    """

    summary: ClassVar[str] = "all of it in small, ending with a report"
    resumes: ClassVar[bool] = True
    out: Path = Path("demo")
    """Folder for everything that is made."""
    real: OptionalPath = None
    """Folder of your own crops to score, index and search at the end."""
    synth: Annotated[SynthConfig, VALUED] = field(default_factory=SynthConfig)
    crop: Annotated[CropConfig, VALUED] = field(default_factory=CropConfig)
    train: Annotated[TrainConfig, VALUED] = field(default_factory=TrainConfig)
    evaluate: Annotated[EvaluateConfig, VALUED] = field(default_factory=EvaluateConfig)
    export: Annotated[ExportConfig, VALUED] = field(default_factory=ExportConfig)
    search: Annotated[SearchConfig, VALUED] = field(default_factory=SearchConfig)

    @classmethod
    def base_config(cls, arguments: list[str]) -> Path:
        begun = Path(_value(arguments, "--out") or cls.out, "config.toml")
        return begun if begun.is_file() else DEMO_CONFIG

    def execute(self) -> None:
        from unrealperson.demo import run_demo

        run_demo(self.resolved(), self.out, real=self.real)


VERBS: dict[str, type[Verb]] = {
    "doctor": Doctor,
    "simulate": Simulate,
    "poses": Poses,
    "synth": Synth,
    "crop": Crop,
    "data check": DataCheck,
    "data subset": DataSubset,
    "data merge": DataMerge,
    "data export": DataExport,
    "regenerate": Regenerate,
    "train": Train,
    "adapt": Adapt,
    "extract": Extract,
    "evaluate": Evaluate,
    "export": Export,
    "calibrate": Calibrate,
    "index": Index,
    "search": Search,
    "serve": Serve,
    "gallery add": GalleryAdd,
    "gallery remove": GalleryRemove,
    "gallery threshold": GalleryThreshold,
    "gallery save": GallerySave,
    "gallery check": GalleryCheck,
    "fit": Fit,
    "harden": Harden,
    "ablate": Ablate,
    "report": Report,
    "demo": Demo,
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

EXTRA_OF = {
    "panda3d": "synth",
    "direct": "synth",
    "unrealcv": "synth",
    "onnxruntime": "cpu",
    "faiss": "search",
    "pymilvus": "search",
    "ray": "scale",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
}
"""The optional dependency group that brings a module."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb.

    Args:
        arguments: the command line without the program's name; None takes the process's own.

    Returns:
        The exit status: 0 done, 1 doctor found a lack, 2 bad input, 130 stopped by Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if "--version" in arguments:
        print(f"unrealperson {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    family = [verb for verb in VERBS if verb.startswith(f"{name} ")]
    if family and rest[:1] in ([], ["-h"], ["--help"]):
        print(_overview(name))
        return 0 if rest else 2
    if family:
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name not in VERBS:
        close = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "'unrealperson --help' lists the verbs"
        print(f"unrealperson: error: there is no verb '{name}'; {hint}", file=sys.stderr)
        return 2
    verb: Verb | None = None
    verbose = "-v" in rest or "--verbose" in rest
    try:
        verb = _parse(name, rest)
        configure_logging(verbose=verb.verbose, quiet=verb.quiet, as_json=verb.log_json)
        return verb.execute() or 0
    except SystemExit as stop:
        return int(stop.code or 0) if not isinstance(stop.code, str) else 2
    except KeyboardInterrupt:
        hint = "; the same command goes on where it was" if VERBS[name].resumes else ""
        print(f"\nunrealperson: stopped{hint}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; what it did not read is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if verbose or error.name not in EXTRA_OF:
            raise
        print(
            f"unrealperson: error: {error.name} is not installed; pip install 'unrealperson[{EXTRA_OF[error.name]}]'",
            file=sys.stderr,
        )
        return 2
    except (ValueError, RuntimeError, OSError) as error:
        if verbose:
            raise
        print(f"unrealperson: error: {_one_line(error, written=_written(verb))}", file=sys.stderr)
        return 2


def _parse(name: str, arguments: list[str]) -> Verb:
    verb = VERBS[name]
    config = load_config(_value(arguments, "--config") or verb.base_config(arguments))
    sections = {section.name for section in dataclasses.fields(Config)}
    default: dict[str, Any] = {}
    for key in dataclasses.fields(verb):
        if key.name in sections:
            default[key.name] = getattr(config, key.name)
        elif key.default is dataclasses.MISSING:
            default[key.name] = tyro.MISSING
    return tyro.cli(
        verb,
        prog=f"unrealperson {name}",
        default=verb(**default),
        args=arguments,
        config=(tyro.conf.AvoidSubcommands,),
    )


def _value(arguments: list[str], flag: str) -> str | None:
    """What a flag is given, before the defaults of the other flags are known."""
    for position, argument in enumerate(arguments):
        if argument == flag and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
    return None


def _overview(family: str = "") -> str:
    chosen = {name: verb for name, verb in VERBS.items() if name.startswith(f"{family} " if family else "")}
    width = max(map(len, chosen))
    verbs = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in chosen.items())
    if family:
        example = next(iter(chosen))
        return f"The verbs of '{family}':\n\n{verbs}\n\n'unrealperson {example} --help' explains one and its settings."
    return (
        f"unrealperson {__version__}: synthetic people for person re-identification\n\n"
        f"usage: unrealperson VERB [--config FILE] [--section.key value ...]\n\n{verbs}\n\n"
        "'unrealperson VERB --help' explains a verb and all of its settings.\n"
        "Everywhere: --version, -v (debug lines), --quiet, --log-json.\n\n"
        "A first run, some minutes on two cores:  unrealperson demo --out demo"
    )


def _written(verb: Verb | None) -> Path | None:
    """What a verb writes to."""
    return getattr(verb, "out", None) or getattr(verb, "gallery", None)


def _one_line(error: BaseException, *, written: Path | None = None) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename is None and error.errno in _NO_ROOM:
        # Where an open file is written to, nobody says which.
        return f"{written or 'a file'} cannot be written: {os.strerror(error.errno)}; make room for it"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        # Files are written under another name first; the user knows the final one.
        path = re.sub(r"(^|/)\.?([^/]+)\.partial(?=/|$)", r"\1\2", os.fsdecode(error.filename))
        text = f"{path} cannot be used: {error.strerror}"
        if isinstance(error, FileExistsError | NotADirectoryError):
            text = f"{path} cannot be made: a file is where a folder is needed; choose another path"
        elif isinstance(error, PermissionError):
            text = f"{path} cannot be used: {error.strerror}; choose another path or change its permissions"
    return text or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
