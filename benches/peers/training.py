"""One training run with Lightning, doing what `engine train` does: the same rows, network, loss, optimizer, schedule, metrics,
validations, checkpoints and files.

What a careful user would write, and where there is a choice, the faster one: see README.md.
"""

import json
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryAveragePrecision,
    BinaryCohenKappa,
    BinaryConfusionMatrix,
    BinaryF1Score,
    BinaryHammingDistance,
    BinaryJaccardIndex,
    BinaryPrecision,
    BinaryPrecisionRecallCurve,
    BinaryRecall,
    BinaryROC,
    BinarySpecificity,
)

import job
from networks import IGNORED, loss, unet
from samples import Samples, divide

# What early stopping and the best checkpoints follow.
MONITORED = "val/JaccardIndex"
THRESHOLDS = 20
# Figures that are curves: written as data, not logged.
CURVES = {"val/roc", "val/prc", "val/cmx"}


def scalars(prefix):
    """The eight metrics at threshold 0.5."""
    classes = {
        "Accuracy": BinaryAccuracy,
        "Precision": BinaryPrecision,
        "Specificity": BinarySpecificity,
        "Recall": BinaryRecall,
        "F1Score": BinaryF1Score,
        "JaccardIndex": BinaryJaccardIndex,
        "CohenKappa": BinaryCohenKappa,
        "HammingDistance": BinaryHammingDistance,
    }
    made = {name: metric(ignore_index=IGNORED, validate_args=False) for name, metric in classes.items()}
    return MetricCollection(made, prefix=prefix)


def evaluation(prefix):
    """All metrics and curves of a validation."""
    of_curves = {"thresholds": THRESHOLDS, "ignore_index": IGNORED, "validate_args": False}
    collection = scalars(prefix)
    collection.add_metrics(
        {
            "AUROC": BinaryAUROC(**of_curves),
            "AveragePrecision": BinaryAveragePrecision(**of_curves),
            "roc": BinaryROC(**of_curves),
            "prc": BinaryPrecisionRecallCurve(**of_curves),
            "cmx": BinaryConfusionMatrix(normalize="true", ignore_index=IGNORED, validate_args=False),
        }
    )
    return collection


class Segmentation(lightning.LightningModule):
    """A segmentation network in training."""

    def __init__(self, settings, hyperparameters, bands, figures):
        super().__init__()
        self.save_hyperparameters(hyperparameters)
        self.log_every = settings.log_every_n_steps
        self.channels_last = getattr(settings, "channels_last", False)
        self.figures = figures
        self.model = unet(hyperparameters["model_arch"], hyperparameters["model_encoder"], bands)
        if self.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.of_epoch, self.of_step = scalars("train/"), scalars("train/").clone(postfix="_step")
        self.of_validation = evaluation("val/")

    def loss(self, logits, target):
        return loss(logits, target, self.hparams)

    def forward(self, x):
        if self.channels_last:
            x = x.to(memory_format=torch.channels_last)
        return self.model(x).squeeze(1)

    def training_step(self, batch, number):
        x, target = batch
        logits = self(x)
        loss = self.loss(logits, target)
        self.log("train/loss", loss, on_step=True, on_epoch=True, batch_size=len(x))
        predicted, target = torch.sigmoid(logits.detach()), target.long()
        self.of_epoch.update(predicted, target)
        if (self.global_step + 1) % self.log_every == 0:
            self.of_step.update(predicted, target)
            self.log_dict(self.of_step.compute())
            self.of_step.reset()
        return loss

    def on_train_epoch_end(self):
        self.log_dict(self.of_epoch.compute())
        self.of_epoch.reset()

    def validation_step(self, batch, number):
        x, target = batch
        logits = self(x)
        self.log("val/loss", self.loss(logits, target), batch_size=len(x))
        self.of_validation.update(torch.sigmoid(logits), target.long())

    def on_validation_epoch_end(self):
        values = self.of_validation.compute()
        self.of_validation.reset()
        self.log_dict({name: value for name, value in values.items() if name not in CURVES})
        self.figures.mkdir(parents=True, exist_ok=True)
        curves = {name.removeprefix("val/"): listed(values[name]) for name in sorted(CURVES)}
        (self.figures / "val_curves.json").write_text(json.dumps(curves, indent=2))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams["learning_rate"])
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, self.hparams["gamma"])]


def listed(values):
    """Tensors, or tuples of them, as lists."""
    return [listed(value) for value in values] if isinstance(values, tuple) else values.tolist()


def loaders(settings, hyperparameters, fold, workers):
    """Batches to train and to validate on."""
    train, val = divide(settings, fold)
    common = {
        "batch_size": hyperparameters["batch_size"],
        "num_workers": workers,
        "persistent_workers": workers > 0,
    }
    folder = settings.train_data_dir
    return (
        DataLoader(Samples(folder, train), shuffle=True, drop_last=True, **common),
        DataLoader(Samples(folder, val), shuffle=False, **common),
    )


def fit(settings, hyperparameters, fold, folder, workers):
    """Trains one run in `folder`: what was logged last, by name, and how many samples trained and validated."""
    _, trainer, samples = fit_model(settings, hyperparameters, fold, folder, workers)
    logged = {name: value.item() for name, value in trainer.logged_metrics.items()}
    return logged, samples


def fit_model(settings, hyperparameters, fold, folder, workers):
    """As `fit`: the model as it is after the last epoch, its trainer, and how many samples trained and validated."""
    lightning.seed_everything(settings.random_seed, workers=True, verbose=False)
    folder = Path(folder)
    bands = len(job.bands(settings.train_data_dir))
    module = Segmentation(settings, hyperparameters, bands, folder / "figures")
    train, val = loaders(settings, hyperparameters, fold, workers)
    checkpoints = ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="epoch={epoch}-step={step}-val_iou={" + MONITORED + ":.2f}",
        auto_insert_metric_name=False,
        monitor=MONITORED,
        mode="max",
        save_top_k=settings.save_top_k,
        save_last=True,
    )
    callbacks = [checkpoints, LearningRateMonitor("epoch")]
    if settings.early_stopping_patience > 0:
        callbacks.append(EarlyStopping(MONITORED, mode="max", patience=settings.early_stopping_patience))
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=settings.max_epochs,
        check_val_every_n_epoch=settings.check_val_every_n_epoch,
        log_every_n_steps=settings.log_every_n_steps,
        num_sanity_val_steps=0,
        logger=CSVLogger(folder.parent, name=folder.name, version=""),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train, val)
    return module, trainer, (len(train.dataset), len(val.dataset))
