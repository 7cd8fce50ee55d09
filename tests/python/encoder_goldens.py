"""What the engine's encoders are held to, from segmentation_models_pytorch: names and counts of every encoder's tensors,
and features where strides become dilations, where not all features are taken, and of encoders no whole model is at hand of.

usage: encoder_goldens.py > engine/tests/data/encoders.json

Weights and images are filled by the hash of the golden forward passes (tests/tests/conformance_models.rs), places counted
within the encoder; all is computed in float64, in evaluation mode.
"""

import json
import math
import sys

import numpy
import torch
from segmentation_models_pytorch import __version__
from segmentation_models_pytorch.encoders import get_encoder

ENCODERS = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "se_resnet50", "mobilenet_v2", "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3",
    "efficientnet-b4", "dpn68", "dpn107",
]
# Encoder, bands, depth, output stride.
FEATURES = [
    ("resnet18", 3, 5, 16), ("resnet18", 3, 3, 32),
    ("resnext50_32x4d", 3, 5, 8),
    ("se_resnet50", 3, 5, 8), ("se_resnet50", 3, 3, 32),
    ("mobilenet_v2", 4, 5, 16), ("mobilenet_v2", 4, 5, 8), ("mobilenet_v2", 4, 3, 32),
    ("efficientnet-b0", 3, 5, 16), ("efficientnet-b0", 3, 5, 8), ("efficientnet-b0", 3, 3, 32),
    ("efficientnet-b1", 3, 5, 32), ("efficientnet-b2", 3, 5, 32), ("efficientnet-b3", 3, 5, 32),
    ("efficientnet-b4", 3, 5, 32),
    ("dpn68", 3, 5, 32), ("dpn68", 3, 5, 16), ("dpn68", 3, 5, 8), ("dpn68", 3, 4, 32),
]
BATCH, SIZE = 2, 64
INPUT_PLACE = 100_003
# So many values of each feature map, evenly spread.
VALUES = 24


def hashed(place, count):
    x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(2654435761)
    x += numpy.uint32((place * 40503 + 12345) % 2**32)
    for _ in range(2):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(0x45D9F3B)
    x ^= x >> numpy.uint32(16)
    return 2.0 * (x.astype(numpy.float64) / 2.0**32) - 1.0


def fill(place, name, shape):
    v = hashed(place, math.prod(shape)).reshape(shape)
    if name.endswith("running_var"):
        return 1.0 + v / 2.0
    if name.endswith("running_mean"):
        return v / 10.0
    if len(shape) >= 2:
        return v * math.sqrt(6.0 / math.prod(shape[1:]))
    return v / 10.0 if name.endswith("bias") else 1.0 + v / 10.0


def tensors(encoder):
    return [(name, value) for name, value in encoder.state_dict().items() if not name.endswith("num_batches_tracked")]


def fnv(text):
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return f"{state:016x}"


def outline(name):
    encoder = get_encoder(name, in_channels=3, weights=None)
    named = tensors(encoder)
    lines = "".join(f"{name} {list(value.shape)}\n" for name, value in named)
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return {"encoder": name, "parameters": parameters, "tensors": len(named), "fnv1a": fnv(lines)}


def features(name, bands, depth, stride):
    encoder = get_encoder(name, in_channels=bands, depth=depth, weights=None, output_stride=stride).double().eval()
    for place, (tensor, value) in enumerate(tensors(encoder)):
        value.copy_(torch.from_numpy(fill(place, tensor, tuple(value.shape))))
    shape = (BATCH, bands, SIZE, SIZE)
    image = torch.from_numpy(hashed(INPUT_PLACE, math.prod(shape)).reshape(shape))
    with torch.no_grad():
        maps = encoder(image)[1:]
    told = []
    for one in maps:
        flat = one.flatten()
        step = max(1, flat.numel() // VALUES)
        told.append(
            {
                "shape": list(one.shape),
                "std": flat.std(unbiased=False).item(),
                "step": step,
                "values": [round(value, 9) for value in flat[::step].tolist()],
            }
        )
    return {
        "encoder": name, "in_channels": bands, "depth": depth, "output_stride": stride,
        "batch": BATCH, "size": SIZE, "features": told,
    }


def main():
    golden = {
        "library": f"segmentation_models_pytorch {__version__}",
        "outlines": [outline(name) for name in ENCODERS],
        "passes": [features(*case) for case in FEATURES],
    }
    json.dump(golden, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
