"""Values and gradients of layers of transformers from smp and timm, for the unit tests of engine.

    python tests/python/token_golden.py > engine/src/nn/golden/tokens.json

Needs torch, segmentation_models_pytorch 0.6 and timm. Computed in 64 bits, while training. Parameters, inputs and the weights
of the output are filled by the hash of the model fixtures; what is differentiated is the sum of the output, each element times
its weight. Images are [batch, height, width, channels].
"""

import json
import math
import sys

import torch
from segmentation_models_pytorch.encoders._utils import replace_strides_with_dilation
from segmentation_models_pytorch.encoders.mix_transformer import Attention, Mlp
from timm.layers.grn import GlobalResponseNorm
from timm.models.convnext import ConvNeXtBlock, ConvNeXtStage, LayerNorm, LayerNorm2d
from timm.models.maxxvit import MaxxVitConvCfg, MaxxVitTransformerCfg, MbConvBlock, PartitionAttentionCl
from torch import nn

INPUT, WEIGHTS = 100_003, 100_005
MASK = 0xFFFFFFFF


def hashed(place, element):
    x = (element * 2_654_435_761 + place * 40_503 + 12_345) & MASK
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & MASK
    return 2.0 * ((x ^ (x >> 16)) / 4_294_967_296.0) - 1.0


def numbers(place, shape):
    values = [hashed(place, element) for element in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def value(name, tensor, place):
    v = numbers(place, tuple(tensor.shape))
    if name.endswith("running_var"):
        return 1 + v / 2
    if name.endswith("running_mean"):
        return v / 10
    if tensor.dim() > 1:
        return v * math.sqrt(6 / math.prod(tensor.shape[1:]))
    return v / 10 if name.endswith("bias") else 1 + v / 10


def told(tensor):
    return [float(f"{number:.8g}") for number in tensor.detach().flatten().tolist()]


def case(module, shape, forward):
    module = module.double().train()
    state = {name: one for name, one in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    with torch.no_grad():
        for place, (name, tensor) in enumerate(state.items()):
            tensor.copy_(value(name, tensor, place))
    x = numbers(INPUT, shape).requires_grad_()
    y = forward(module, x)
    (y * numbers(WEIGHTS, tuple(y.shape))).sum().backward()
    return {
        "input": shape,
        "shapes": [list(tensor.shape) for tensor in state.values()],
        "output": told(y),
        "input_gradient": told(x.grad),
        "parameter_gradients": [told(parameter.grad) for parameter in module.parameters()],
    }


def plain(module, x):
    return module(x)


def image(module, x):
    return module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def tokens(module, x):
    batch, height, width, channels = x.shape
    return module(x.reshape(batch, height * width, channels), height, width).reshape(x.shape)


def dilated(module):
    replace_strides_with_dilation(module, 2)
    return module


def attention(partition):
    cfg = MaxxVitTransformerCfg(dim_head=4, window_size=(2, 2))
    return PartitionAttentionCl(8, partition, cfg)


def step_down(dilation):
    stage = ConvNeXtStage(3, 4, stride=1, depth=1, dilation=dilation, norm_layer=LayerNorm2d, norm_layer_cl=LayerNorm)
    return stage.downsample


def block(width):
    return ConvNeXtBlock(width, use_grn=True, ls_init_value=None, norm_layer=LayerNorm)


def bottleneck():
    cfg = MaxxVitConvCfg(expand_output=False, output_bias=False, attn_ratio=1 / 16, act_layer="silu")
    return MbConvBlock(4, 6, stride=2, cfg=cfg)


def main():
    torch.manual_seed(0)
    cases = {
        "layer_norm": case(nn.LayerNorm(5, eps=1e-6), [2, 2, 3, 5], plain),
        "response_norm": case(GlobalResponseNorm(4), [2, 2, 3, 4], plain),
        "mit_attention": case(Attention(8, num_heads=2, qkv_bias=True, sr_ratio=2), [2, 4, 2, 8], tokens),
        "mit_attention_dilated": case(
            dilated(Attention(4, num_heads=2, qkv_bias=True, sr_ratio=2)), [1, 4, 3, 4], tokens
        ),
        "mit_mlp": case(Mlp(4, 16), [1, 3, 4, 4], tokens),
        "window_attention": case(attention("block"), [1, 4, 6, 8], plain),
        "grid_attention": case(attention("grid"), [1, 4, 6, 8], plain),
        "inverted_bottleneck": case(bottleneck(), [2, 4, 4, 4], image),
        "convnext_block": case(block(4), [1, 5, 4, 4], image),
        "convnext_dilated_2": case(step_down((1, 2)), [1, 4, 5, 3], image),
        "convnext_dilated_4": case(step_down((2, 4)), [1, 4, 5, 3], image),
    }
    lines = ",\n".join(f'"{name}": {json.dumps(one, separators=(",", ":"))}' for name, one in cases.items())
    sys.stdout.write("{\n" + lines + "\n}\n")


main()
