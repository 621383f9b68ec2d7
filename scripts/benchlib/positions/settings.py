"""The sizes of the experiment, whole and quick, and the text."""

import dataclasses
import os
import pathlib
import subprocess

from benchlib import environment

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCHEMES = ("none", "learned", "sinusoidal", "rope", "alibi", "t5")
TITLES = {
    "none": "no positions", "learned": "learned", "sinusoidal": "sinusoidal", "rope": "RoPE",
    "alibi": "ALiBi", "t5": "T5",
}
# Reach past the trained length by themselves; the learned table has to be stretched.
UNSTRETCHED = tuple(scheme for scheme in SCHEMES if scheme != "learned")


@dataclasses.dataclass(frozen=True)
class Settings:
    context: int
    layers: int
    dim: int
    heads: int
    batch: int
    steps: int
    warmup: int
    learning_rate: float
    validation_share: float
    evaluate_every: int
    lengths: tuple
    seeds: tuple

    def with_seeds(self, count):
        return dataclasses.replace(self, seeds=tuple(range(1, count + 1)))

    def training(self):
        """The options of `embedkernel train` that all runs share."""
        return [
            "--tokenizer", "byte", "--context", self.context, "--layers", self.layers,
            "--dim", self.dim, "--heads", self.heads, "--head", "tied", "--batch", self.batch,
            "--learning-rate", self.learning_rate, "--warmup", self.warmup,
            "--validation-share", self.validation_share, "--evaluate-every", self.evaluate_every,
            "--sample", 0, "--threads", 1,
        ]

    def told(self):
        return (
            f"{self.layers} layers, dim {self.dim}, {self.heads} heads, byte tokens, context "
            f"{self.context}; {self.steps} steps of {self.batch} sequences, AdamW with a peak rate of "
            f"{self.learning_rate:g}; {len(self.seeds)} "
            f"{'seed' if len(self.seeds) == 1 else 'seeds'}")


FULL = Settings(
    context=64, layers=4, dim=128, heads=4, batch=32, steps=600, warmup=50, learning_rate=2e-3,
    validation_share=0.03, evaluate_every=50, lengths=(64, 128, 256, 512), seeds=(1, 2, 3))
QUICK = Settings(
    context=32, layers=1, dim=32, heads=2, batch=8, steps=40, warmup=5, learning_rate=5e-3,
    validation_share=0.1, evaluate_every=10, lengths=(32, 64, 128), seeds=(1,))


def text(path):
    """The text to train on, fetched if it is Shakespeare's and not there yet."""
    if path is not None:
        if not path.is_file():
            raise environment.Failure(f"no text '{path}'")
        return path.resolve()
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    found = pathlib.Path(base) / "embedkernel" / "shakespeare" / "shakespeare.txt"
    if not found.is_file():
        subprocess.run([ROOT / "scripts" / "setup-data"])
    if not found.is_file():
        raise environment.Failure(
            "Shakespeare's plays could not be fetched; give a text of some megabytes by --text")
    return found
