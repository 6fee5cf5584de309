"""Networks that others published, written from their published architecture: what weights of theirs are loaded into.

MTCNN (Zhang et al. 2016), in the sizes of facenet-pytorch: three nets that find faces, coarse to fine. LPIPS (Zhang et
al. 2018): what is learned of it, a weight for each channel of five (or seven) layers of a network for pictures.
"""

from __future__ import annotations

import torch
from torch import nn

Features = list[torch.Tensor]


class PNet(nn.Module):
    """Proposals: a face or not, and the corrections of its box, for each place of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes and probabilities, of pictures [n, 3, height, width]."""
        found = self.pool(self.prelu1(self.conv1(pictures)))
        found = self.prelu3(self.conv3(self.prelu2(self.conv2(found))))
        return self.conv4_2(found), self.conv4_1(found).softmax(1)


def flat(found: torch.Tensor) -> torch.Tensor:
    """Width first, then height, then channels: the order of the net that these weights were trained in."""
    return found.permute(0, 3, 2, 1).flatten(1)


class RNet(nn.Module):
    """Refinement: the same for proposals of 24 x 24."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes and probabilities, of pictures [n, 3, 24, 24]."""
        found = self.pool(self.prelu1(self.conv1(pictures)))
        found = self.pool(self.prelu2(self.conv2(found)))
        found = self.prelu4(self.dense4(flat(self.prelu3(self.conv3(found)))))
        return self.dense5_2(found), self.dense5_1(found).softmax(1)


class ONet(nn.Module):
    """Output: the same for proposals of 48 x 48, and five points of the face."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)
        self.wide, self.narrow = nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2, 2, ceil_mode=True)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes, points and probabilities, of pictures [n, 3, 48, 48]."""
        found = self.wide(self.prelu1(self.conv1(pictures)))
        found = self.wide(self.prelu2(self.conv2(found)))
        found = self.narrow(self.prelu3(self.conv3(found)))
        found = self.prelu5(self.dense5(flat(self.prelu4(self.conv4(found)))))
        return self.dense6_2(found), self.dense6_3(found), self.dense6_1(found).softmax(1)


class Head(nn.Module):
    """A weight for each channel of one layer. (The dropout gives the weights their place, ``model.1``.)"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, difference: torch.Tensor) -> torch.Tensor:
        """The distance at each place, of a difference [n, channels, height, width]."""
        return self.model(difference)


class LpipsHeads(nn.Module):
    """How far two pictures are apart, from what a network for pictures saw in them, layer by layer."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        for at, width in enumerate(widths):
            self.add_module(f"lin{at}", Head(width))

    def forward(self, ones: Features, others: Features) -> torch.Tensor:
        """The distance of each pair."""
        total = torch.zeros(len(ones[0]))
        for head, one, other in zip(self.children(), ones, others, strict=True):
            total = total + head((unit(one) - unit(other)) ** 2).mean((1, 2, 3))
        return total


def unit(features: torch.Tensor) -> torch.Tensor:
    """Features of length one at each place."""
    return features / (features.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)


WIDTHS = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}
