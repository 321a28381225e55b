"""Turn any network into one that normalises each image by the statistics of its own camera."""

import torch
from torch import nn

from unrealperson.models.cbn import convert_camera_batch_norm


def main() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    context = convert_camera_batch_norm(network, cameras=2)

    dark = torch.rand(4, 3, 16, 8) * 0.2
    bright = torch.rand(4, 3, 16, 8) * 0.2 + 0.8
    camera = torch.tensor([0] * 4 + [1] * 4)
    with context.use(camera):
        features = network(torch.cat([dark, bright])).mean((2, 3))
    print("mean response per camera:", features[:4].mean().item(), features[4:].mean().item())


if __name__ == "__main__":
    main()
