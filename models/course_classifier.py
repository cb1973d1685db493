"""The classifier of the course's graders: a LeNet for RGB (LeCun et al., *Gradient-Based Learning*, 1998, II)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu


class CourseClassifier(nn.Module):
    """Images (N, 3, 28, 28) in [-1, 1] to logits (N, 10); its parameters bear the names of the course's file."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(256, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 3, 28, 28) in [-1, 1]."""
        features = max_pool2d(relu(self.conv1(images)), 2)
        features = max_pool2d(relu(self.conv2(features)), 2)
        features = torch.flatten(features, 1)
        return self.fc3(relu(self.fc2(relu(self.fc1(features)))))
