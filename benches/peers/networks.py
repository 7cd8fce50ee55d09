"""The networks and the loss of the steps that are timed."""

import torch
from torch import nn
from torch.nn import functional

IGNORED = 2


def focal_loss(logits, target, alpha, gamma):
    """Binary focal loss on logits, the mean over the pixels that are not ignored (Lin et al. 2017, eq. 5)."""
    counted = target != IGNORED
    positive = (target == 1).to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits, positive, reduction="none")
    probability = torch.sigmoid(logits)
    of_truth = probability * positive + (1 - probability) * (1 - positive)
    loss = entropy * (1 - of_truth) ** gamma
    if alpha is not None:
        loss = (alpha * positive + (1 - alpha) * (1 - positive)) * loss
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def loss_terms(formula):
    """A sum of losses with weights, as the option `loss` has it, as [(weight, name)]; a name alone weighs 1."""
    terms = (term.strip().split("*") for term in formula.split("+"))
    return [(float(weight[0]) if weight else 1.0, name.strip()) for *weight, name in terms]


def loss(logits, target, hyperparameters):
    """The loss that the hyperparameters name: `focal`, `bce`, `dice`, or a sum of them with weights."""
    import segmentation_models_pytorch as smp

    alpha, gamma = hyperparameters["focal_loss_alpha"], hyperparameters["focal_loss_gamma"]
    by_name = {
        "focal": lambda: focal_loss(logits, target, alpha, gamma),
        "bce": lambda: focal_loss(logits, target, None, 0),
        "dice": lambda: smp.losses.DiceLoss("binary", ignore_index=IGNORED)(logits, target),
    }
    terms = loss_terms(hyperparameters["loss"])
    return sum(weight * by_name[name]() for weight, name in terms)


class Level(nn.Sequential):
    """Two convolutions with batch norm and ReLU."""

    def __init__(self, inputs, outputs):
        layers = []
        for channels in (inputs, outputs):
            layers += [
                nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class SmallUnet(nn.Module):
    """A U-Net of half a million parameters: four levels of two convolutions, joined by nearest upsampling."""

    WIDTHS = (16, 32, 64, 128)

    def __init__(self, inputs):
        super().__init__()
        widths = self.WIDTHS
        self.down = nn.ModuleList(Level(i, o) for i, o in zip((inputs, *widths), widths))
        self.up = nn.ModuleList(
            Level(widths[at + 1] + widths[at], widths[at]) for at in reversed(range(len(widths) - 1))
        )
        self.head = nn.Conv2d(widths[0], 1, 1, bias=False)

    def forward(self, x):
        skips = []
        for at, level in enumerate(self.down):
            if at > 0:
                skips.append(x)
                x = functional.max_pool2d(x, 2)
            x = level(x)
        for level in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = level(torch.cat([x, skips.pop()], dim=1))
        return self.head(x)


def unet(arch, encoder, bands):
    """A network of segmentation_models_pytorch with random weights and one class."""
    import segmentation_models_pytorch

    return segmentation_models_pytorch.create_model(
        arch, encoder_name=encoder, encoder_weights=None, in_channels=bands, classes=1
    )
