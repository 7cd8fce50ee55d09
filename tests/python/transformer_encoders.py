"""Tensors of the transformer and timm encoders as smp has them, for a unit test of engine.

    python tests/python/transformer_encoders.py > engine/src/models/transformer_encoders.json

Needs segmentation_models_pytorch 0.6 and timm. The names and shapes of an encoder's state dict are told by the 64-bit FNV-1a
hash of its lines `name shape`, `num_batches_tracked` left out.
"""

import json
import warnings

import segmentation_models_pytorch as smp

ENCODERS = [f"mit_b{size}" for size in range(6)] + ["tu-convnextv2_tiny", "tu-maxvit_tiny_rw_224"]
# The last uses three features, and timm leaves out the stages behind them.
CASES = [("Unet", name) for name in ENCODERS] + [("PSPNet", name) for name in ENCODERS if name.startswith("tu-")]


def fnv1a(text):
    code = 0xCBF29CE484222325
    for byte in text.encode():
        code = ((code ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return code


def told(arch, encoder):
    model = smp.create_model(arch, encoder, encoder_weights=None, in_channels=4)
    state = model.encoder.state_dict()
    lines = [
        f"encoder.{name} {'x'.join(map(str, tensor.shape))}\n"
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    ]
    return {
        "arch": arch,
        "encoder": encoder,
        "tensors": len(lines),
        "parameters": sum(parameter.numel() for parameter in model.encoder.parameters()),
        "fnv1a": f"{fnv1a(''.join(lines)):016x}",
    }


def main():
    warnings.simplefilter("ignore")
    print("[\n" + ",\n".join(json.dumps(told(*case)) for case in CASES) + "\n]")


main()
