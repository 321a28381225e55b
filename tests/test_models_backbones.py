"""ResNet-50, its IBN-a variant and OSNet: published names, shapes, and weights from a path or their address."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest
import torch

from unrealperson.config import TrainConfig
from unrealperson.data.transforms import IMAGENET_MEAN, IMAGENET_STD, ImagenetColors, normalise
from unrealperson.models import osnet, resnet
from unrealperson.models.osnet import OSNet, load_osnet
from unrealperson.models.reid import build_model
from unrealperson.models.resnet import ResNet50, load_resnet50
from unrealperson.models.weights import Release, read_state


def published_resnet50() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's file, written down from its documentation."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 2048), "fc.bias": (1000,)}
    norms = {"bn1": 64}
    inputs = 64
    for layer, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, inputs, 1, 1)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            norms |= {f"{name}.bn1": width, f"{name}.bn2": width, f"{name}.bn3": 4 * width}
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                norms[f"{name}.downsample.1"] = 4 * width
            inputs = 4 * width
    for name, channels in norms.items():
        shapes |= {f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{name}.num_batches_tracked"] = ()
    return shapes


def test_a_state_dict_of_torchvision_loads_key_for_key(tmp_path):
    shapes = published_resnet50()
    assert len(shapes) == 320
    generator = torch.Generator().manual_seed(0)
    stored = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items() if shape}
    stored |= {name: torch.tensor(3) for name, shape in shapes.items() if not shape}
    torch.save(stored, tmp_path / "resnet50.pth")
    model = load_resnet50(str(tmp_path / "resnet50.pth"))
    values = model.state_dict()
    assert set(values) == {name for name in shapes if not name.startswith("fc.")}
    assert all(torch.equal(value, stored[name]) for name, value in values.items())

    older = {f"module.{name}": value for name, value in stored.items() if "num_batches" not in name}
    torch.save({"state_dict": older}, tmp_path / "older.pth")
    assert torch.equal(load_resnet50(str(tmp_path / "older.pth")).conv1.weight, stored["conv1.weight"])

    stored["layer1.0.conv1.weight"] = torch.zeros(64, 64, 3, 3)
    torch.save(stored, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"layer1.0.conv1.weight is \[64, 64, 3, 3\], not \[64, 64, 1, 1\]"):
        load_resnet50(str(tmp_path / "other.pth"))


def test_parameters_are_those_of_the_published_networks():
    for instance_norm in (False, True):
        count = sum(value.numel() for value in ResNet50(instance_norm=instance_norm).parameters())
        assert count + 2048 * 1000 + 1000 == 25_557_032  # with the ImageNet classifier, which is left out
    names = set(ResNet50(instance_norm=True).state_dict())
    assert {"layer1.0.bn1.IN.weight", "layer3.5.bn1.BN.running_mean", "layer4.0.bn1.weight"} <= names


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (ResNet50, (1, 2048, 4, 2)),
        (lambda: ResNet50(instance_norm=True), (1, 2048, 4, 2)),
        (lambda: OSNet("x0_25"), (1, 512)),
        (lambda: OSNet("x1_0"), (1, 512)),
    ],
    ids=["resnet50", "resnet50_ibn_a", "osnet_x0_25", "osnet_x1_0"],
)
def test_shapes_of_what_comes_out(network, expected):
    with torch.inference_mode():  # the last stage keeps the resolution of a sixteenth
        assert network().eval()(torch.zeros(1, 3, 64, 32)).shape == expected


def test_osnet_is_as_small_as_published():
    """The paper gives 2.2 and 0.2 million, table 4."""
    assert sum(value.numel() for value in OSNet("x1_0").parameters()) / 1e6 == pytest.approx(2.2, abs=0.05)
    assert sum(value.numel() for value in OSNet("x0_25").parameters()) / 1e6 == pytest.approx(0.2, abs=0.01)


def test_the_gate_is_one_for_all_streams():
    block = osnet.OmniScaleBlock(16, 64)
    assert sum("gate" in name for name, _ in block.named_modules()) == 3  # the gate and its two layers
    depth = [sum(isinstance(layer, osnet.LightConv) for layer in getattr(block, f"conv2{s}").modules()) for s in "abcd"]
    assert depth == [1, 2, 3, 4]


def test_colours_are_those_that_the_weights_expect():
    pixels = torch.randint(0, 256, (2, 5, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = ImagenetColors()(normalise(pixels.numpy()))
    expected = ((pixels - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert ImagenetColors().state_dict() == {}


def test_photographs_of_clothes_are_recognised_by_osnet(shared):
    """ImageNet classes 608 jeans and 610 jersey, as the classifier that the file holds names them."""
    import csv

    import numpy as np

    from unrealperson.data.sources import load_image

    folder, weights = shared / "assets" / "clothing_cc0", shared / "weights" / "osnet_x0_25_imagenet.pth"
    if not (folder / "labels.csv").is_file() or not weights.is_file():
        pytest.skip(f"optional test data is absent: {folder}, {weights}")
    with (folder / "labels.csv").open() as stream:
        rows = [(row["image"], {"Pants": 608, "T-Shirt": 610}.get(row["label"])) for row in csv.DictReader(stream)]
    chosen = [(folder / "images" / name, label) for name, label in rows if label][::25]
    pixels = np.stack([load_image(path, size=(224, 224)) for path, _ in chosen])
    stored = read_state(weights)
    with torch.inference_mode():
        features = load_osnet("x0_25", str(weights)).eval()(normalise(pixels))
        found = (features @ stored["classifier.weight"].T + stored["classifier.bias"]).topk(5).indices
    correct = (found == torch.tensor([label for _, label in chosen])[:, None]).any(1)
    assert correct.float().mean() > 0.6


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on the loopback, and torch's cache folder in a temporary place."""
    (tmp_path / "web").mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "web")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield tmp_path / "web", f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_published_weights_are_fetched_once_and_checked(server):
    web, address = server
    (web / "net.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    path = Release("Net", "net.pth", f"{address}/net.pth", digest[:8]).fetch()
    assert path.read_bytes() == b"weights"
    (web / "net.pth").unlink()
    assert Release("Net", "net.pth", f"{address}/net.pth", digest[:8]).fetch() == path
    (web / "net.pth").write_bytes(b"others")
    path.unlink()
    with pytest.raises(RuntimeError, match=r"what came from there has sha256 [0-9a-f]{8}\.\.\.$"):
        Release("Net", "net.pth", f"{address}/net.pth", digest[:8]).fetch()
    assert not path.exists()


@pytest.mark.parametrize("release", [resnet.RESNET50, resnet.RESNET50_IBN_A, *osnet.RELEASES.values()])
def test_missing_weights_name_file_address_hash_and_option(server, monkeypatch, release):
    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(RuntimeError) as error:
        release.fetch()
    message = str(error.value)
    assert "\n" not in message and "--train.weights PATH" in message
    assert release.file in message and release.address in message and release.sha256 in message


def test_networks_without_published_weights_are_drawn_from_the_seed():
    def build(seed: int) -> torch.nn.Module:
        config = TrainConfig(backbone="osnet_x0_25", weights="none", seed=seed)
        return build_model(config, classes=2, cameras=2)

    first, again, other = build(1), build(1), build(2)
    for (name, value), same in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(value, same), name
    assert not torch.equal(first.backbone.conv1.conv.weight, other.backbone.conv1.conv.weight)
