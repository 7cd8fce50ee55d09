"""Weights between PyTorch and the engine, seen from Python.

    weights.py make FOLDER     saves one smp network in every way there is, with an image and what it gives
    weights.py check FOLDER    loads every export below FOLDER, and prints how far its output is from the engine's
"""

import json
import os
import pathlib
import sys

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save_file

CHANNELS = 2


class Harmful:
    """Runs a command where it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def network():
    torch.manual_seed(7)
    model = smp.create_model("Unet", encoder_name="resnet18", encoder_weights=None, in_channels=CHANNELS)
    # Running statistics that are not those of an untrained network.
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, CHANNELS, 64, 64))
    return model.eval()


def output(model, image):
    with torch.no_grad():
        return model(image).contiguous()


def cast(state, dtype):
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}


def rounded(state, dtype, image):
    """What the network gives with its weights rounded to a type."""
    model = network()
    model.load_state_dict(cast(state, dtype))
    return output(model, image)


def lightning_checkpoint(model, path):
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, config):
            super().__init__()
            self.save_hyperparameters()
            self.model = model
            self.loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0]))

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=1e-3)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]

        def training_step(self, batch):
            return self.loss(self.model(batch), torch.ones(1, 1, 64, 64))

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_steps=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    module = Module({"folder": pathlib.PurePosixPath("data"), "seed": 2**70, "bands": ("red", "nir")})
    trainer.fit(module, torch.utils.data.DataLoader(torch.randn(1, CHANNELS, 64, 64), batch_size=1))
    trainer.save_checkpoint(path)
    model.eval()


def make(folder):
    image = torch.randn(2, CHANNELS, 64, 64, generator=torch.Generator().manual_seed(3))
    model = network()
    state = model.state_dict()
    outputs = {"image": image, "plain": output(model, image)}
    torch.save(state, folder / "plain.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    ddp = {"module." + name: value for name, value in state.items()}
    torch.save({"epoch": 3, "model_state_dict": ddp}, folder / "ddp-protocol4.pt", pickle_protocol=4)
    save_file(state, folder / "plain.safetensors")
    torch.save(cast(state, torch.float16), folder / "half.pt")
    save_file(cast(state, torch.bfloat16), folder / "bfloat.safetensors")
    outputs["half"], outputs["bfloat"] = rounded(state, torch.float16, image), rounded(state, torch.bfloat16, image)
    # Doubles, a transposed view, two parts of one storage, a parameter, and a tensor on its own beside what it shares.
    mixed = dict(state)
    mixed["encoder.conv1.weight"] = state["encoder.conv1.weight"].double()
    head = state["segmentation_head.0.weight"]
    mixed["segmentation_head.0.weight"] = head.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
    both = torch.cat([state["encoder.bn1.weight"], state["encoder.bn1.bias"]])
    mixed["encoder.bn1.weight"], mixed["encoder.bn1.bias"] = both[:64], both[64:]
    mixed["segmentation_head.0.bias"] = torch.nn.Parameter(state["segmentation_head.0.bias"])
    torch.save({"model": mixed}, folder / "mixed.pt")
    torch.save(model.segmentation_head, folder / "whole-object.pt")
    torch.save({"state_dict": {"bias": torch.zeros(1)}, "callbacks": Harmful(folder / "was-run")}, folder / "harmful.ckpt")
    encoder = smp.encoders.get_encoder("resnet18", in_channels=3, weights=None).state_dict()
    encoder["fc.weight"], encoder["fc.bias"] = torch.randn(1000, 512), torch.randn(1000)
    torch.save(encoder, folder / "encoder.pth")
    fitted = smp.encoders.get_encoder("resnet18", in_channels=3, weights=None)
    fitted.load_state_dict(dict(encoder))
    fitted.set_in_channels(CHANNELS, pretrained=True)
    mixed = network()
    mixed.encoder.load_state_dict(fitted.state_dict())
    outputs["encoder"] = output(mixed, image)
    # It trains a step, so it comes last.
    lightning_checkpoint(model, folder / "lightning.ckpt")
    outputs["lightning"] = output(model, image)
    save_file(outputs, folder / "outputs.safetensors")


def check(folder):
    found = {}
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        known = load_file(case / "known.safetensors")
        arguments = json.loads((case / "weights.json").read_text())["model"]
        by_file = smp.create_model(**arguments, encoder_weights=None)
        by_file.load_state_dict(load_file(case / "weights.safetensors"))
        by_folder = smp.from_pretrained(str(case / "smp"))
        checkpoint = torch.load(case / "pipeline.ckpt", weights_only=True)
        by_checkpoint = smp.create_model(**checkpoint["config"]["model"], encoder_weights=None)
        by_checkpoint.load_state_dict(checkpoint["statedict"])
        models = {"file": by_file, "folder": by_folder, "checkpoint": by_checkpoint}
        found[case.name] = {
            name: (output(model.eval(), known["image"]) - known["output"]).abs().max().item() for name, model in models.items()
        }
        found[case.name]["spread"] = known["output"].std().item()
        found[case.name]["bands"] = checkpoint["config"]["bands"]
    print(json.dumps(found))


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
