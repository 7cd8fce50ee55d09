"""How wide smp draws the weights of its decoders and heads, for the unit tests of engine/src/models/decoders.

    python tests/python/initial_weights.py > engine/src/models/decoders/initial_weights.json

Needs torch and segmentation_models_pytorch 0.6. The root mean square of every tensor outside the encoder, over a few models of resnet18 and two
channels.
"""

import json

import segmentation_models_pytorch as smp
import torch

ARCHITECTURES = ["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus"]
MODELS = 4


def widths(arch):
    squares = {}
    for _ in range(MODELS):
        model = smp.create_model(arch, "resnet18", encoder_weights=None, in_channels=2)
        for name, tensor in model.state_dict().items():
            if not name.startswith("encoder.") and not name.endswith("num_batches_tracked"):
                squares[name] = squares.get(name, 0.0) + float(tensor.double().pow(2).mean())
    return {name: float(f"{(square / MODELS) ** 0.5:.4g}") for name, square in squares.items()}


torch.manual_seed(0)
print(json.dumps({arch: widths(arch) for arch in ARCHITECTURES}, indent=0))
