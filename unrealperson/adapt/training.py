"""The loop that both methods share: source and target in one batch, labels before an epoch, a checkpoint after it."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from unrealperson.adapt.batches import TargetBatch
from unrealperson.adapt.cluster_contrast import ClusterContrast
from unrealperson.adapt.jvtc import Jvtc
from unrealperson.adapt.pseudo_labels import Clusters, agreement, silhouette
from unrealperson.adapt.scoring import (
    TEMPORAL_FILE,
    estimate_times,
    features_of,
    save_times,
    score,
    score_joint,
    times_of,
)
from unrealperson.adapt.target import Target, read_target
from unrealperson.cards import CARD_FILE, adapted_card
from unrealperson.checkpoint import (
    CONFIG_FILE,
    RunState,
    load_checkpoint,
    load_optimizer,
    load_state,
    prepare_run,
    save_checkpoint,
)
from unrealperson.config import AdaptConfig, Config, load_config
from unrealperson.data.loader import Images, TrainLoader, make_loader, training_rows
from unrealperson.data.manifest import Manifest
from unrealperson.distributed import Team, join_team
from unrealperson.files import only_process, replacing, write_json, write_text
from unrealperson.log import get_logger, track
from unrealperson.models import reuse_memory
from unrealperson.models.cbn import convert_camera_batch_norm, plain_batch_norm, reset_statistics, resize_tables
from unrealperson.models.losses import cross_entropy
from unrealperson.models.reid import ReidModel
from unrealperson.record import METRICS_FILE, cut_record
from unrealperson.schema import Batch

logger = get_logger(__name__)

SUMMARY_FILE = "adaptation.json"
LABELS_FILE = "labels.npz"
NEW_LAYERS_FASTER = 10


def adapt(
    run: str | Path, target: Manifest, config: Config, out: str | Path, source: Manifest | None = None
) -> dict[str, Any]:
    """Adapts a trained network to a site's unlabelled crops, or goes on with what `out` holds.

    Labels of the target are used for scores alone. The result depends on the run, the images and the configuration
    only; under torchrun each batch is shared by the processes.

    Args:
        run: folder of the run to start from.
        target: crops of the site.
        config: sections [adapt] and [evaluate]; [train] is that of the run.
        out: folder of the adapted run: model.safetensors, config.toml, metrics.jsonl, labels.npz, temporal.npz,
            adaptation.json.
        source: labelled crops whose cross-entropy is added; None adapts without a source.

    Returns:
        adaptation.json: method, images, groups, and rank-1 and mAP "direct", "adapted" and "joint" (JVTC+) where the
        target has labelled images; nothing in all processes but the first.

    Raises:
        ValueError: too few images, a batch that cannot be shared, or a folder that holds another run.
        FileNotFoundError: no such run.
        RuntimeError: the loss is not finite, or another process writes to `out`.

    Source: paper section 4.3.
    """
    out = Path(out)
    load_state(run)
    if out.resolve() == Path(run).resolve():
        raise ValueError(f"{out} is the run that adaptation starts from; choose another --out")
    norm: Literal["cbn", "bn"] = "cbn" if config.adapt.norm == "cbn" else "bn"
    train = dataclasses.replace(load_config(Path(run) / CONFIG_FILE).train, norm=norm)
    config = dataclasses.replace(config, train=train, adapt=config.adapt.resolved())
    with join_team() as team, ExitStack() as stack:
        site = read_target(target, config)
        loader = None
        if source is not None:
            batch = dataclasses.replace(
                config.train, identities_per_camera=config.adapt.source_identities, frames=1, objective="identities"
            )
            loader = make_loader(training_rows(source), batch, rank=team.rank, world=team.world, device=team.device)
        if team.first:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_process(out))
        adaptation = _Adaptation(Path(run), site, loader, config, out, team)
        return adaptation.run()


def format_summary(summary: dict[str, Any]) -> str:
    """A few lines for people.

    Args:
        summary: what `adapt` returns.
    """
    names = {"direct": "before", "adapted": "adapted", "joint": "adapted, looks and times"}
    lines = [
        f"  {names[key]:<25}rank-1 {100 * found['rank1']:5.1f} %   mAP {100 * found['map']:5.1f} %"
        for key, found in summary["scores"].items()
    ]
    lines.append(f"  {summary['groups']} presumed people in {summary['images']} images of {summary['cameras']} cameras")
    return "\n".join(lines)


class _Step(nn.Module):
    """Network and losses of one batch, as one module, so that DDP sees the whole step."""

    def __init__(self, model: ReidModel, method: Jvtc | ClusterContrast, config: Config, team: Team) -> None:
        super().__init__()
        self.model, self._method, self._team = model, method, team
        self._weight = config.adapt.source_weight
        self._mixed = config.train.precision == "bfloat16"

    def forward(self, source: Batch | None, target: TargetBatch, camera: Tensor, epoch: int) -> tuple[Any, ...]:
        """The loss, its parts, and the target's unit vectors of all processes."""
        model, count = self.model, 0 if source is None else len(source.label)
        images = target.images if source is None else torch.cat([source.images, target.images])
        with torch.autocast(self._team.device.type, torch.bfloat16, enabled=self._mixed):
            with model.context.use(camera) if model.context else nullcontext():
                pooled = model.backbone(images)
                features = model.neck(pooled.mean((2, 3)) if pooled.ndim == 4 else pooled)
            logits = model.classifier(features[:count]) if count else None
        vectors = self._team.gather(F.normalize(features[count:].float()))
        loss, parts = self._method.loss(vectors, target.rows, epoch)
        if source is not None and logits is not None:
            parts["source"] = cross_entropy(logits, source.label)
            parts["accuracy"] = (logits.argmax(1) == source.label).float().mean()
            loss = loss + self._weight * parts["source"]
        return loss, parts, vectors.detach()


class _Adaptation:
    """One adaptation from where it stands to its end."""

    def __init__(
        self, run: Path, target: Target, loader: TrainLoader | None, config: Config, out: Path, team: Team
    ) -> None:
        self._run, self._target, self._loader, self._config, self._out, self._team = (
            run,
            target,
            loader,
            config,
            out,
            team,
        )
        reuse_memory()
        kind: type[Jvtc | ClusterContrast] = Jvtc if config.adapt.method == "jvtc" else ClusterContrast
        self._method = kind(target, config.adapt, config.train, team)
        model, _, earlier = load_checkpoint(run)
        known = loader is not None and tuple(loader.identity_keys.tolist()) == earlier.identity_keys
        if loader is not None and not known:
            model.classifier = _new_classifier(model.dimension, len(loader.identity_keys), config.adapt.seed)
        model.classifier.requires_grad_(loader is not None)
        self._identity_keys = tuple(loader.identity_keys.tolist()) if loader else earlier.identity_keys
        self._source_rows, self._rows = _statistics_rows(loader, target, config.adapt)
        if model.context is None:
            model.context = convert_camera_batch_norm(model, 0, min_images=config.train.min_images)
        self._model = model
        self._normalise_together()
        state = self._begin_or_resume() if team.first else None
        self._state = team.share(state) or RunState(0, (), (), "", "")
        groups = self._groups(known)
        self._model.to(team.device)
        self._optimizer = self._method.optimizer(groups)
        self._scores: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        if 0 < self._state.epoch < config.adapt.epochs:
            self._resume()
        step = _Step(model, self._method, config, team)
        self._step: nn.Module = step
        if team.world > 1:
            with warnings.catch_warnings():  # newer torch names the option otherwise, older torch only so
                warnings.simplefilter("ignore", FutureWarning)
                self._step = DistributedDataParallel(step, broadcast_buffers=False)

    def run(self) -> dict[str, Any]:
        """Adapts to the last epoch; returns the summary."""
        config, state = self._config.adapt, self._state
        if state.epoch == config.epochs:
            logger.info("%s is adapted already, %d epochs", self._out, state.epoch)
            return json.loads((self._out / SUMMARY_FILE).read_text(encoding="utf-8")) if self._team.first else {}
        if self._team.first:
            cut_record(self._out / METRICS_FILE, lambda line: line["epoch"] <= state.epoch)
        logger.info(
            "%s: %d images under %d cameras%s, %d epochs of %d steps", config.method, len(self._target),
            len(self._target.camera_keys), "" if self._loader else ", no source", config.epochs, self._method.steps,
        )  # fmt: skip
        if state.epoch == 0:
            self._scores["direct"] = self._score()
        start = time.monotonic()
        for epoch in range(state.epoch + 1, config.epochs + 1):
            found = self._method.begin(epoch, self._extract)
            self._normalise_together()
            line = self._epoch(epoch)
            if found is not None:
                line |= self._quality(found)
            last = epoch == config.epochs
            if last or (config.score_every and epoch % config.score_every == 0):
                line |= self._score() or {}
            seconds = state.seconds + time.monotonic() - start
            state_now = dataclasses.replace(self._state, epoch=epoch, step=epoch * self._method.steps, seconds=seconds)
            if self._team.first:
                self._save(state_now, {**line, "seconds": round(seconds, 1)}, last=last)
        summary = self._team.share(self._summary)  # the others wait until all is written
        return summary if self._team.first else {}

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """One epoch's steps; the means of what they gave."""
        config, method, team = self._config.adapt, self._method, self._team
        self._model.train()
        reset_statistics(self._model)
        published, decay_every = method.schedule
        rate = config.learning_rate * 0.1 ** ((epoch - 1) * published // config.epochs // decay_every)
        values: list[list[float]] = []
        names: list[str] = []
        pairs = zip(method.batches(epoch), self._source_batches(epoch), strict=False)
        for batch, source in track(pairs, label=f"epoch {epoch}/{config.epochs}", total=method.steps, unit="steps"):
            camera = self._cameras(batch, source).to(team.device)
            rows = batch.rows.to(team.device)
            on_device = TargetBatch(batch.images.to(team.device), batch.camera, rows)
            loss, parts, vectors = self._step(source and source.to(team.device), on_device, camera, epoch)
            names = ["loss", *parts]
            values.append(team.mean([loss.item(), *(part.item() for part in parts.values())]))
            if not math.isfinite(values[-1][0]):
                raise RuntimeError(
                    f"the loss became {values[-1][0]} in epoch {epoch} at learning rate {rate:g}; lower "
                    f"adapt.learning_rate (the last good state is kept in {self._out})"
                )
            self._optimizer.zero_grad()
            loss.backward()
            for group in self._optimizer.param_groups:
                group["lr"] = rate * group["faster"]
            self._optimizer.step()
            method.remember(vectors, rows, epoch)
        means = np.mean(values, axis=0)
        line = {name: round(float(value), 5) for name, value in zip(names, means, strict=True)}
        logger.info("epoch %d: %s", epoch, ", ".join(f"{name} {value:.3f}" for name, value in line.items()))
        return {"epoch": epoch, "step": epoch * method.steps, **line, "lr": rate}

    def _cameras(self, batch: TargetBatch, source: Batch | None) -> Tensor:
        """Row of the statistics for each image: the source's, then the target's."""
        domain = self._config.adapt.norm == "domain"
        target = torch.full_like(batch.camera, self._source_rows) if domain else batch.camera + self._source_rows
        if source is None:
            return target
        return torch.cat([torch.zeros_like(source.camera) if domain else source.camera, target])

    def _source_batches(self, epoch: int) -> Iterator[Batch | None]:
        turn = 0
        while True:
            if self._loader is None:
                yield None
            else:
                yield from self._loader.epoch(10_000 * epoch + turn)
                turn += 1

    def _normalise_together(self) -> None:
        """Makes room for the source's and the target's statistics, taken over all processes."""
        model = self._model
        resize_tables(model, self._rows, min_images=self._config.train.min_images)
        if model.context is not None and self._config.train.sync_norm:
            model.context.process_group = self._team.norm_group

    def _extract(self) -> np.ndarray:
        """Unit vectors [n, d] of the target, made by the first process."""
        return self._team.share(self._features(self._target.images).vectors if self._team.first else np.zeros(0))

    def _features(self, images: Images) -> Any:
        if self._model.context is not None:
            self._model.context.process_group = None  # this process works alone
        return features_of(self._model, images, self._config.adapt, self._config.evaluate)

    def _score(self) -> dict[str, float] | None:
        scored, train = self._target.scored, self._config.train
        if scored is None or not self._team.first:
            return None
        features = self._features(Images(scored, height=train.height, width=train.width))
        self._scored_features = features
        found = score(features, scored)
        logger.info("rank-1 %.1f %%, mAP %.1f %%", 100 * found["rank1"], 100 * found["map"])
        self._normalise_together()
        return {name: round(value, 5) for name, value in found.items()}

    def _quality(self, found: Clusters) -> dict[str, Any]:
        """Counts and silhouette of the epoch's clusters, and how well they agree with identities that are known."""
        vectors = self._extract()
        self._normalise_together()
        rng = np.random.default_rng(self._config.adapt.seed)
        values = {
            "clusters": found.count, "groups": found.groups, "outliers": found.outliers, "eps": round(found.eps, 5),
            "silhouette": silhouette(vectors, found.label, rng),
            "agreement": agreement(found.alone, self._target.images.manifest.pid),
        }  # fmt: skip
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}

    def _begin_or_resume(self) -> RunState:
        config, target = self._config, self._target
        resumed = prepare_run(self._out, config, keys=("train", "adapt"))
        source_keys = self._loader.camera_keys.tolist() if self._loader else []
        state = RunState(
            epoch=0, identity_keys=self._identity_keys, camera_keys=(*source_keys, *target.camera_keys.tolist()),
            data_sha256=target.images.manifest.sha256(), data_root=str(target.images.manifest.root.absolute()),
        )  # fmt: skip
        if not resumed:
            return state
        earlier = load_state(self._out)
        if earlier.data_sha256 != state.data_sha256:
            raise ValueError(f"{self._out} was adapted to other images; choose another --out, or delete the folder")
        if earlier.epoch < config.adapt.epochs:
            logger.info("going on with %s after epoch %d", self._out, earlier.epoch)
        return earlier

    def _resume(self) -> None:
        stored = load_checkpoint(self._out)[0].state_dict()
        parameters = {name for name, _ in self._model.named_parameters()}
        extra = load_optimizer(self._out, self._optimizer, self._state)
        try:
            with torch.no_grad():
                for name, value in self._model.state_dict().items():
                    # Cameras with few images take statistics from the tables; a run with norm "domain" saves none.
                    if name in parameters or (name in stored and stored[name].shape == value.shape):
                        value.copy_(stored[name])
            self._method.load(extra["method"])
            self._scores = json.loads(extra["scores"])
        except (KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
            raise ValueError(f"adaptation cannot go on in {self._out}: {error}; delete it to start again") from error

    def _groups(self, known: bool) -> list[dict[str, Any]]:
        new = [] if known or self._loader is None else list(self._model.classifier.parameters())
        chosen = {id(value) for value in new}
        old = [value for value in self._model.parameters() if value.requires_grad and id(value) not in chosen]
        groups: list[dict[str, Any]] = [{"params": old, "faster": 1}]
        return groups + ([{"params": new, "faster": NEW_LAYERS_FASTER}] if new else [])

    def _save(self, state: RunState, line: dict[str, Any], *, last: bool) -> None:
        with (self._out / METRICS_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if last:
            self._finish(line)
            state = dataclasses.replace(state, camera_keys=tuple(self._target.camera_keys.tolist()))
        model = self._model
        if self._config.adapt.norm == "domain":
            model = plain_batch_norm(model, 0 if last else self._source_rows)
        extra = {"method": self._method.state(), "scores": json.dumps(self._scores)}
        save_checkpoint(self._out, model, state, optimizer=None if last else self._optimizer, extra=extra)

    def _finish(self, line: dict[str, Any]) -> None:
        """Labels, times, scores and the summary; leaves the model with the target's statistics."""
        config, target, out = self._config.adapt, self._target, self._out
        if "rank1" in line:
            self._scores["adapted"] = {name: line[name] for name in ("rank1", "map")}
        vectors = self._features(target.images).vectors
        label = self._method.label()
        times = estimate_times(vectors, target, config) if config.method == "jvtc" else times_of(label, target, config)
        if target.timed:
            save_times(out / TEMPORAL_FILE, times, target.camera_keys, config.ticks_per_s)
            if target.scored is not None:
                found = score_joint(self._scored_features, target.scored, times, target.camera_keys, config)
                self._scores["joint"] = {name: round(value, 5) for name, value in found.items()}
        with replacing(out / LABELS_FILE) as partial, partial.open("wb") as stream:
            np.savez_compressed(
                stream, version=1, path=np.array(target.images.manifest.path), label=label,
                camera=target.camera_keys[target.camera], frame=target.frame, pid=target.images.manifest.pid,
            )  # fmt: skip
        self._summary = {
            "format_version": 1, "method": config.method, "run": str(self._run), "source": self._loader is not None,
            "images": len(target), "cameras": len(target.camera_keys),
            "groups": Clusters(label, 0.0).groups, "scores": {k: v for k, v in self._scores.items() if v},
            "data": str(target.images.manifest.root.absolute()),
        }  # fmt: skip
        write_json(out / SUMMARY_FILE, self._summary)
        if (card := self._run / CARD_FILE).is_file():
            text = adapted_card(card.read_text("utf-8"), config.method, target.images.manifest)
            write_text(out / CARD_FILE, text)


def _new_classifier(dimension: int, classes: int, seed: int) -> nn.Linear:
    classifier = nn.Linear(dimension, classes, bias=False)
    nn.init.normal_(classifier.weight, std=0.001, generator=torch.Generator().manual_seed(seed))
    return classifier


def _statistics_rows(loader: TrainLoader | None, target: Target, config: AdaptConfig) -> tuple[int, int]:
    """Rows of the source's statistics, and of all."""
    if config.norm == "domain":
        return (0, 1) if loader is None else (1, 2)
    source = 0 if loader is None else len(loader.camera_keys)
    return source, source + len(target.camera_keys)
