"""Builds the command and runs it: training, evaluation, the order test and the table's spectrum.

A run's folder holds what the command wrote, `log.txt`, and the settings it was made with: in
`begun.json`, and in `done.json` once all is there. Under other settings it is made again; one that was
ended goes on from its last checkpoint, which the command does bit for bit.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from benchlib import environment

import settings

ROOT = pathlib.Path(__file__).resolve().parents[3]


def built():
    """The path of `embedkernel`, built for release."""
    build = ["swift", "build", "-c", "release", "--package-path", str(ROOT), "--product", "embedkernel"]
    environment.run(build, "embedkernel did not build")
    where = subprocess.run(
        [*build, "--show-bin-path"], check=True, capture_output=True, text=True).stdout
    return pathlib.Path(where.strip()) / "embedkernel"


def say(text):
    print(text, file=sys.stderr, flush=True)


@dataclasses.dataclass
class Record:
    """Where what was measured lies."""

    folders: dict  # (scheme, seed) -> folder
    refusal: str  # what evaluating learned positions past their table said


class Runs:
    def __init__(self, command, chosen, text, folder, jobs, fresh):
        self.command = command
        self.chosen = chosen
        self.text = text
        self.folder = folder
        self.jobs = jobs
        self.fresh = fresh
        self.finished = []
        digest = hashlib.sha256(text.read_bytes()).hexdigest()
        self.key = {
            **dataclasses.asdict(dataclasses.replace(chosen, seeds=())), "text": digest,
        }

    def run(self):
        # Seed by seed, so that an ended experiment has whole seeds.
        places = {
            (scheme, seed): self.folder / "runs" / f"{scheme}-{seed}"
            for seed in self.chosen.seeds for scheme in settings.SCHEMES
        }
        missing = [place for place in places if self.fresh or not self.has("done", places[place])]
        say(f"{len(places) - len(missing)} of {len(places)} runs are there; {len(missing)} to go")
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(self.one, *place, places[place]) for place in missing]
            try:
                for done in concurrent.futures.as_completed(waiting):
                    self.report(*done.result(), len(missing))
            except BaseException:
                for one in waiting:
                    one.cancel()
                raise
        refusals = {
            (places["learned", seed] / "refusal.txt").read_text() for seed in self.chosen.seeds
        }
        return Record(places, " ".join(sorted(refusals)))

    def has(self, what, folder):
        """Whether the folder was begun, or is done, with these settings."""
        try:
            return json.loads((folder / f"{what}.json").read_text()) == json.loads(json.dumps(self.key))
        except (OSError, ValueError):
            return False

    def note(self, what, folder):
        (folder / f"{what}.json").write_text(json.dumps(self.key))

    def report(self, scheme, seed, seconds, total):
        self.finished.append(seconds)
        count = len(self.finished)
        left = sum(self.finished) / count * (total - count) / self.jobs
        say(f"[{count:2}/{total}] {scheme}, seed {seed}: {seconds:.0f} s; about {left / 60:.0f} min left")

    def one(self, scheme, seed, folder):
        """All that is measured of one model."""
        start = time.monotonic()
        model = folder / "model"
        common = [
            "--text", self.text, *self.chosen.training(), "--positions", scheme, "--seed", seed,
        ]
        begun = not self.fresh and self.has("begun", folder)
        if begun and (model / "checkpoint.safetensors").exists():
            self.call(folder, "train", "--resume", model)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self.note("begun", folder)
            self.call(folder, "train", *common, "--steps", self.chosen.steps, "--output", model)
        self.evaluate(scheme, model, folder)
        self.call(
            folder, "order", "--model", model / "model.safetensors", "--seed", seed,
            into=folder / "order.csv")
        if scheme == "learned":
            initial = folder / "initial"
            shutil.rmtree(initial, ignore_errors=True)
            self.call(folder, "train", *common, "--steps", 0, "--output", initial)
            for name, trained in (("before", initial), ("after", model)):
                self.call(
                    folder, "spectrum", trained / "model.safetensors", "--output",
                    folder / f"spectrum-{name}.csv")
        self.note("done", folder)
        return scheme, seed, time.monotonic() - start

    def evaluate(self, scheme, model, folder):
        lengths = ",".join(map(str, self.chosen.lengths))
        words = ["evaluate", model, "--lengths", lengths, "--threads", 1]
        if scheme == "learned":
            refused = self.process(folder, words)
            if refused.returncode == 0:
                raise environment.Failure("learned positions went past their table without a word")
            (folder / "refusal.txt").write_text(refused.stderr.strip().splitlines()[-1])
            words += ["--interpolate", "linear"]
        self.call(folder, *words, "--output", folder / "evaluation.csv")

    def call(self, folder, *words, into=None):
        """Runs the command; what it prints goes into a file, or to the log."""
        result = self.process(folder, words)
        if result.returncode != 0:
            last = "\n".join(result.stderr.strip().splitlines()[-5:])
            raise environment.Failure(f"embedkernel {words[0]} failed, see {folder / 'log.txt'}\n{last}")
        if into is not None:
            into.write_text(result.stdout)

    def process(self, folder, words):
        words = [str(self.command), *map(str, words)]
        # One thread a process also where OpenBLAS would take more.
        variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        result = subprocess.run(words, capture_output=True, text=True, env=variables)
        with open(folder / "log.txt", "a") as log:
            log.write(f"$ {' '.join(words)}\n{result.stdout}{result.stderr}\n")
        return result
