"""Golden values of losses, optimizers and schedules, as PyTorch and segmentation_models_pytorch compute them.

    python tests/python/training_goldens.py engine/tests/data

writes losses.json, optimizers.json and schedules.json there. Made with torch 2.9.0 and segmentation_models_pytorch 0.5.0, in
double precision but for the Lovász hinge.
"""

import json
import math
import sys
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import lr_scheduler

EPOCHS, STEPS = 6, 5


def numbers(tensor):
    # As many digits as single precision has.
    return [float(f"{value:.9g}") for value in tensor.detach().reshape(-1).tolist()]


# Losses: of the pixels that are not ignored, by loss and by its gradient with respect to all logits.


def focal(logits, target):
    return smp.losses.FocalLoss(mode="binary", alpha=0.75, gamma=2.0)(logits, target)


LOSSES = {
    "focal": focal,
    "bce": lambda z, y: binary_cross_entropy_with_logits(z, y, pos_weight=torch.tensor(3.0, dtype=z.dtype)),
    "dice": smp.losses.DiceLoss(mode="binary", from_logits=True, smooth=0.0, eps=1e-7),
    "jaccard": smp.losses.JaccardLoss(mode="binary", from_logits=True, smooth=0.0, eps=1e-7),
    "tversky": smp.losses.TverskyLoss(mode="binary", from_logits=True, smooth=0.0, eps=1e-7, alpha=0.3, beta=0.7),
    # It knows single precision alone.
    "lovasz": lambda z, y: smp.losses.LovaszLoss(mode="binary", per_image=False)(z.float(), y.float()).double(),
}
SUMS = {
    "0.5*bce + 0.5*dice": {"bce": 0.5, "dice": 0.5},
    "focal + 2*lovasz + 0.25*jaccard": {"focal": 1, "lovasz": 2, "jaccard": 0.25},
}


def batch(seed, positives, scale):
    torch.manual_seed(seed)
    logits = torch.randn(2, 6, 8, dtype=torch.float64) * scale
    # As what is compared with reads them: 32 bits.
    logits = logits.to(torch.float32).to(torch.float64)
    draw = torch.rand(2, 6, 8)
    target = (draw < positives).long()
    target[draw > 0.9] = 2
    return logits, target


def losses():
    batches = [batch(1, 0.3, 2.0), batch(2, 0.05, 1.0), batch(3, 0.0, 2.0), batch(4, 0.9, 6.0)]
    cases = []
    for number, (logits, target) in enumerate(batches):
        valid = target != 2
        for formula, weights in [(name, {name: 1}) for name in LOSSES] + list(SUMS.items()):
            z = logits.clone().requires_grad_()
            inside, truth = z[valid].reshape(1, 1, 1, -1), target[valid].to(z.dtype).reshape(1, 1, 1, -1)
            value = sum(weight * LOSSES[name](inside, truth) for name, weight in weights.items())
            value.backward()
            loss = float(value.detach())
            cases.append({"batch": number, "formula": formula, "loss": loss, "gradient": numbers(z.grad)})
    given = [{"logits": numbers(logits), "target": target.reshape(-1).tolist()} for logits, target in batches]
    return {"shape": [2, 6, 8], "batches": given, "cases": cases}


# Optimizers: five steps along gradients that hang on the parameters, and what is kept after them.


def optimizers():
    kinds = [
        ("adamw", {}, torch.optim.AdamW), ("adamw", {"weight_decay": 0.1}, torch.optim.AdamW),
        ("adam", {}, torch.optim.Adam), ("adam", {"weight_decay": 0.1}, torch.optim.Adam),
        ("sgd", {}, torch.optim.SGD), ("sgd", {"weight_decay": 0.1}, torch.optim.SGD),
        ("sgd", {"momentum": 0.9}, torch.optim.SGD),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.05, "nesterov": True}, torch.optim.SGD),
    ]
    cases = []
    for name, settings, kind in kinds:
        a = torch.tensor([0.5, -2.0, 1.25], dtype=torch.float64, requires_grad=True)
        b = torch.tensor([[1.0, -0.75], [0.25, 3.0]], dtype=torch.float64, requires_grad=True)
        optimizer = kind([a, b], lr=0.1, **settings)
        steps = []
        for step in range(5):
            # Another rate at each step, as a schedule has it.
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.zero_grad()
            ((a**2).sum() + (b**2).sum() * a[0]).backward()
            optimizer.step()
            steps.append({"a": numbers(a), "b": numbers(b)})
        kept = {
            f"{key}.{slot}": numbers(value)
            for key, parameter in [("a", a), ("b", b)]
            for slot, value in optimizer.state[parameter].items()
            if slot != "step" and value is not None
        }
        cases.append({"name": name, "settings": settings, "steps": steps, "kept": kept})
    return {"a": [0.5, -2.0, 1.25], "b": [1.0, -0.75, 0.25, 3.0], "rate": 0.1, "cases": cases}


# Schedules: the rate of every step.


def parameter(rate):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def by_step(scheduler, steps):
    rates = []
    for _ in range(steps):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def by_epoch(scheduler, values=None, epochs=EPOCHS):
    rates = []
    for epoch in range(epochs):
        rates += [scheduler.optimizer.param_groups[0]["lr"]] * STEPS
        scheduler.optimizer.step()
        scheduler.step() if values is None else scheduler.step(values[epoch])
    return rates


def cosine(rate, least, warmup, steps):
    optimizer = parameter(rate)
    falling = lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=least)
    if warmup == 0:
        return falling
    rising = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[warmup])


def schedules():
    total = EPOCHS * STEPS
    cases = []

    def case(name, rates, **settings):
        given = {"name": name, "learning_rate": 1e-3, "epochs": EPOCHS, "steps_per_epoch": STEPS}
        cases.append({**given, **settings, "rates": rates})

    case("exponential", by_epoch(lr_scheduler.ExponentialLR(parameter(1e-3), gamma=0.83)), gamma=0.83)
    case("constant", by_epoch(lr_scheduler.ConstantLR(parameter(1e-3), factor=1.0)))
    case("cosine", by_step(cosine(1e-3, 0.0, 0, total), total))
    case("cosine", by_step(cosine(1e-3, 1e-5, 5, total), total), min_learning_rate=1e-5, warmup_epochs=1.0)
    case("cosine", by_step(cosine(1e-3, 1e-4, 8, total), total), min_learning_rate=1e-4, warmup_epochs=1.5)
    for epochs in [1, 2, EPOCHS]:
        steps = epochs * STEPS
        cycle = lr_scheduler.OneCycleLR(parameter(1.0), max_lr=1e-3, total_steps=steps, cycle_momentum=False)
        rates = [cycle.optimizer.param_groups[0]["lr"]]
        for _ in range(steps - 1):
            cycle.optimizer.step()
            cycle.step()
            rates.append(cycle.optimizer.param_groups[0]["lr"])
        case("onecycle", rates, epochs=epochs)
    values = [0.1, 0.2, 0.2, 0.200001, 0.3, 0.1, math.nan, 0.29, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1]
    for factor, patience, least in [(0.5, 0, 0.0), (0.1, 1, 1e-5), (0.5, 2, 0.0)]:
        plateau = lr_scheduler.ReduceLROnPlateau(
            parameter(1e-3), mode="max", factor=factor, patience=patience, min_lr=least)
        rates = by_epoch(plateau, values, len(values))
        case("plateau", rates, epochs=len(values), plateau_factor=factor, plateau_patience=patience,
             min_learning_rate=least, values=[None if math.isnan(value) else value for value in values])
    return {"cases": cases}


def main():
    folder = Path(sys.argv[1])
    for name, golden in [("losses", losses()), ("optimizers", optimizers()), ("schedules", schedules())]:
        (folder / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
