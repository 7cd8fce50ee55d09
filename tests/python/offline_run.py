"""Logs an offline run with the official client: what `engine sync` has to send as that client's own `sync` does.

usage: offline_run.py FOLDER      (WANDB_ENTITY, WANDB_PROJECT are the caller's)
"""

import os
import pathlib
import sys

import wandb


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["WANDB_SILENT"] = "true"
    weights = folder / "weights.bin"
    weights.write_bytes(bytes(range(256)) * 4)
    run = wandb.init(
        mode="offline", dir=folder, id="official1", name="the official one", group="g", job_type="train", tags=["a", "b"],
        config={"lr": 0.1, "sizes": [1, 2], "nested": {"x": 1, "y": {"z": "deep"}}, "none": None},
    )
    run.define_metric("epoch")
    run.define_metric("loss", summary="min")
    run.define_metric("val/score", step_metric="epoch")
    for step in range(25):
        row = {"loss": 1 / (step + 1), "epoch": step // 5, "train": {"inner": step * 0.5}}
        if step % 5 == 4:
            row["val/score"] = float("nan") if step == 9 else step / 10
        if step == 14:
            row["val/score"] = float("inf")
        run.log(row)
    print("a line on standard output")
    run.log({"table": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])})
    run.log({"histogram": wandb.Histogram(np_histogram=([1, 2, 0, 3], [1, 1.5, 2, 2.5, 3]))})
    from PIL import Image

    run.log({"picture": wandb.Image(Image.new("RGB", (4, 3), (200, 30, 10)), caption="red")})
    run.alert("something", "to look at", level=wandb.AlertLevel.WARN)
    artifact = wandb.Artifact("model", type="model", metadata={"score": 0.5})
    artifact.add_file(str(weights), name="weights.bin")
    run.log_artifact(artifact, aliases=["best"])
    run.summary["own"] = 42
    run.finish(exit_code=3)


if __name__ == "__main__":
    main()
