"""Values and gradients of single layers from PyTorch, for the unit tests of engine/src/nn.

    python tests/python/layers_golden.py > engine/src/nn/golden/layers.json

Needs torch and segmentation_models_pytorch 0.6. Computed in 64 bits. Parameters, inputs and the weights of the output are filled by the hash
of the model fixtures; what is differentiated is the sum of the output, each element times its weight.
"""

import json
import math

import torch
from torch import nn
from torch.nn import functional as F

from segmentation_models_pytorch.decoders.deeplabv3.decoder import SeparableConv2d
from segmentation_models_pytorch.decoders.manet.decoder import MFABBlock, PABBlock

INPUT, SECOND_INPUT, WEIGHTS = 100_003, 100_004, 100_005
MASK = 0xFFFFFFFF


def hashed(place, element):
    x = (element * 2_654_435_761 + place * 40_503 + 12_345) & MASK
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & MASK
    return 2.0 * ((x ^ (x >> 16)) / 4_294_967_296.0) - 1.0


def numbers(place, shape):
    values = [hashed(place, element) for element in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def filled(module):
    """A module in 64 bits and in training, its state dict filled in order."""
    module = module.double().train()
    names = [name for name in module.state_dict() if not name.endswith("num_batches_tracked")]
    with torch.no_grad():
        for place, name in enumerate(names):
            tensor = module.state_dict()[name]
            v = numbers(place, tuple(tensor.shape))
            if name.endswith("running_var"):
                v = 1 + v / 2
            elif name.endswith(("running_mean", "bias")):
                v = v / 10
            elif tensor.dim() > 1:
                v = v * math.sqrt(6 / math.prod(tensor.shape[1:]))
            else:
                v = 1 + v / 10
            tensor.copy_(v)
    return module


def told(tensor):
    return [float(f"{value:.8g}") for value in tensor.detach().flatten().tolist()]


def case(layer, shape, size=None, second=None):
    x = numbers(INPUT, shape).requires_grad_()
    inputs = [x] if second is None else [x, numbers(SECOND_INPUT, second).requires_grad_()]
    y = layer(*inputs)
    (y * numbers(WEIGHTS, tuple(y.shape))).sum().backward()
    made = {"input": list(shape), "output": told(y), "input_gradient": told(x.grad)}
    if size is not None:
        made["size"] = list(size)
    if second is not None:
        made["second_input"] = list(second)
        made["second_input_gradient"] = told(inputs[1].grad)
    if isinstance(layer, nn.Module):
        made["parameter_gradients"] = [told(parameter.grad) for parameter in layer.parameters()]
    return made


def bilinear(align_corners):
    cases = [((2, 3, 4, 3), (8, 6)), ((1, 2, 5, 4), (3, 7)), ((1, 2, 1, 3), (2, 5)), ((2, 1, 1, 1), (3, 4))]
    return [
        case(lambda x: F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners), shape, size)
        for shape, size in cases
    ]


def main():
    pools = [((2, 3, 8, 8), (6, 6)), ((1, 2, 7, 5), (3, 2)), ((2, 2, 3, 2), (1, 1)), ((1, 1, 2, 3), (3, 6))]
    layers = {
        "bilinear_aligned": bilinear(True),
        "bilinear_edges": bilinear(False),
        "average_pool": [
            case(lambda x: F.adaptive_avg_pool2d(x, size), shape, size) for shape, size in pools
        ],
        "group_norm": [case(filled(nn.GroupNorm(2, 6)), (2, 6, 3, 4))],
        "conv_transpose": [case(filled(nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)), (2, 3, 3, 2))],
        "separable": [case(filled(SeparableConv2d(3, 4, 3, padding=2, dilation=2, bias=False)), (2, 3, 6, 5))],
        "position_attention": [case(filled(PABBlock(5)), (2, 5, 2, 3))],
        "channel_attention": [case(filled(MFABBlock(6, 4, 3)), (2, 6, 2, 3), second=(2, 4, 4, 6))],
    }
    print("{")
    for at, (name, cases) in enumerate(layers.items()):
        lines = ",\n".join("  " + json.dumps(one, separators=(",", ":")) for one in cases)
        print(f' "{name}": [\n{lines}\n ]{"," if at + 1 < len(layers) else ""}')
    print("}")


main()
