from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unrealperson.config import TrainConfig
from unrealperson.distributed import Team
from unrealperson.models.cbn import convert_camera_batch_norm
from unrealperson.models.reid import ReidModel
from unrealperson.objectives import ContrastObjective, IdentityObjective, load_own_state, own_state
from unrealperson.schema import Batch

ALONE = Team(0, 1, torch.device("cpu"))
CONTRAST = TrainConfig(
    objective="contrast", sampler="identity", images_per_identity=2, queue=16, teacher_decay=0.5,
    backbone="osnet_x0_25", weights="none",
)  # fmt: skip


def tiny(*, attention: bool = False) -> ReidModel:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8))
    model = ReidModel(backbone, 8, 4, attention=attention).train()
    model.context = convert_camera_batch_norm(model, 2)
    return model


def batch(n: int = 8) -> Batch:
    images = torch.randn(n, 3, 8, 6, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.arange(n) // 2, torch.arange(n) // 2 % 2)


@pytest.fixture
def contrast(monkeypatch) -> ContrastObjective:
    monkeypatch.setattr("unrealperson.objectives.build_model", lambda *_, **__: tiny())
    return ContrastObjective(tiny(), CONTRAST, ALONE)


def test_contrast_tells_the_other_view_from_the_queue(contrast):
    queue, images, camera = contrast.queue.clone(), batch().images, batch().camera
    with torch.no_grad():
        contrast.model.eval()
        pooled = contrast.model.pool(images[1::2], camera[1::2])  # the teacher begins as the network
        teacher = F.normalize(contrast.head(pooled))
        contrast.model.train()
        student = F.normalize(contrast.head(contrast.model.pool(images[0::2], camera[0::2])))
        logits = torch.cat([(student * teacher).sum(1, keepdim=True), student @ queue.T], 1) / 0.2
    contrast._follow = lambda: None
    loss, _ = contrast(batch())
    torch.testing.assert_close(loss.detach(), -logits.log_softmax(1)[:, 0].mean())
    torch.testing.assert_close(contrast.queue[:4], teacher)
    assert torch.equal(contrast.queue[4:], queue[4:]) and contrast.cursor == 4


def test_contrast_trains_the_network_and_the_teacher_follows(contrast):
    loss, _ = contrast(batch())
    loss.backward()
    trained = {name for name, value in contrast.named_parameters() if value.grad is not None}
    assert trained == {name for name, value in contrast.named_parameters() if value.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"model", "head"} and "model.neck.weight" not in trained
    before = contrast.teacher.backbone[0].weight.clone()
    with torch.no_grad():
        contrast.model.backbone[0].weight += 1
    contrast(batch())
    torch.testing.assert_close(contrast.teacher.backbone[0].weight, before + 0.5)
    for _ in range(3):
        contrast(batch())
    assert contrast.cursor == 20  # round the queue of 16
    torch.testing.assert_close(contrast.queue.norm(dim=1), torch.ones(16))


def test_what_an_objective_remembers_is_restored(contrast, monkeypatch):
    contrast(batch())
    kept = {name: value.clone() for name, value in own_state(contrast).items()}
    again = ContrastObjective(tiny(), CONTRAST, ALONE)
    load_own_state(again, kept)
    assert torch.equal(again.queue, contrast.queue) and again.cursor == 4
    assert not any(name.startswith("model.") for name in kept)
    with pytest.raises(RuntimeError, match="queue"):
        load_own_state(again, {name: value for name, value in kept.items() if name != "queue"})


@pytest.mark.parametrize("attention", [False, True])
def test_a_tracklet_is_the_weighed_mean_of_its_frames(attention):
    model, images, camera = tiny(attention=attention), batch().images, batch().camera
    if attention:
        nn.init.normal_(model.attention.weight, generator=torch.Generator().manual_seed(2))
    pooled, logits = model(images, camera, frames=2)
    assert pooled.shape == (4, 8) and logits.shape == (4, 4)
    if not attention:
        single = model.pool(images, camera)
        torch.testing.assert_close(pooled, (single[0::2] + single[1::2]) / 2)
    features = model.eval()(images, camera)
    weight = model.score_frames(features).view(4, 2).softmax(1)
    assert (weight.std() > 0.01) == attention
    expected = weight[:, :1] * features[0::2] + weight[:, 1:] * features[1::2]
    torch.testing.assert_close(model(images, camera, frames=2), expected)


def test_identities_of_tracklets_are_told_once_each():
    objective = IdentityObjective(tiny(), TrainConfig(frames=2), ALONE)
    loss, accuracy = objective(batch())
    _, logits = objective.model(batch().images, batch().camera, frames=2)
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.arange(4)))
    assert accuracy == (logits.argmax(1) == torch.arange(4)).float().mean()


def test_a_compiled_network_with_camera_batch_norm_is_one_graph_that_computes_the_same():
    plain, compiled = tiny(), tiny()
    compiled.compile(backend="aot_eager", fullgraph=True)
    for model in (plain, compiled):
        model(batch().images, batch().camera, frames=1)[1].square().sum().backward()
    for (name, value), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        if value.grad is not None:
            torch.testing.assert_close(other.grad, value.grad, msg=name)
    for (name, value), other in zip(plain.named_buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(other, value, msg=name)
