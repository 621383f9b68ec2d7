"""Reads what the runs left behind, and writes it as two tables."""

import csv
import dataclasses
import json
import struct

import numpy as np

import settings


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def tensor(path, name):
    """A float32 tensor of a safetensors file: a length, a header in JSON, bytes."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(size))[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is of type {entry['dtype']}: expected F32")
        start, end = entry["data_offsets"]
        file.seek(8 + size + start)
        return np.frombuffer(file.read(end - start), "<f4").reshape(entry["shape"])


def cosines(table):
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    return unit @ unit.T


@dataclasses.dataclass
class Table:
    """The learned positions of a seed, before or after training."""

    similarity: np.ndarray  # [T, T], cosines
    centred: np.ndarray  # the same of rows without their mean
    spectrum: np.ndarray  # falling

    @property
    def directions(self):
        """How many directions carry the table: 1 for one, all of them for a flat spectrum."""
        squares = self.spectrum**2
        return squares.sum() ** 2 / (squares**2).sum()

    @property
    def order(self):
        """By how much rows side by side are more alike than rows far apart, without the mean row."""
        return neighbours(self.centred) - strangers(self.centred)


def neighbours(similarity):
    """The mean cosine of positions side by side."""
    return float(np.diagonal(similarity, 1).mean())


def strangers(similarity):
    """The mean cosine of positions at least a quarter of the table apart."""
    size = len(similarity)
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) >= max(2, size // 4)
    return float(similarity[apart].mean())


class Results:
    def __init__(self, record, chosen, folder):
        self.record = record
        self.chosen = chosen
        self.folder = folder
        # scheme -> [seed, position] of each length
        self.positions = {
            length: {
                scheme: np.stack([self.by_position(scheme, seed, length) for seed in chosen.seeds])
                for scheme in settings.SCHEMES
            }
            for length in chosen.lengths
        }
        # scheme -> list of seeds -> {(direction, parameters): difference}
        self.orders = {
            scheme: [self.order(scheme, seed) for seed in chosen.seeds] for scheme in settings.SCHEMES
        }
        self.tables = {
            when: [self.table(seed, when) for seed in chosen.seeds] for when in ("before", "after")
        }

    def by_position(self, scheme, seed, length):
        """The mean loss at each position."""
        read = rows(self.record.folders[scheme, seed] / "evaluation.csv")
        found = [row for row in read if int(row["length"]) == length]
        found.sort(key=lambda row: int(row["position"]))
        losses = np.array([float(row["loss"]) for row in found])
        if losses.shape != (length,) or not np.isfinite(losses).all():
            raise ValueError(f"{scheme}, seed {seed}: no {length} losses at length {length}")
        return losses

    def losses(self, scheme, length):
        """The mean loss of each seed; all positions are seen equally often."""
        return self.positions[length][scheme].mean(axis=1)

    @property
    def stretches(self):
        """Ranges of positions of the longest sequences: half of the trained length, and doubling."""
        edges = [self.chosen.context // 2, self.chosen.context]
        while edges[-1] < self.chosen.lengths[-1]:
            edges.append(2 * edges[-1])
        return list(zip(edges, edges[1:]))

    def stretch(self, scheme, start, end):
        """The mean loss of each seed at those positions of the longest sequences."""
        return self.positions[self.chosen.lengths[-1]][scheme][:, start:end].mean(axis=1)

    def order(self, scheme, seed):
        read = rows(self.record.folders[scheme, seed] / "order.csv")
        return {(row["direction"], row["parameters"]): float(row["difference"]) for row in read}

    def differences(self, scheme, direction, parameters):
        return [found[direction, parameters] for found in self.orders[scheme]]

    def table(self, seed, when):
        folder = self.record.folders["learned", seed]
        model = folder / {"before": "initial", "after": "model"}[when] / "model.safetensors"
        spectrum = [float(row["value"]) for row in rows(folder / f"spectrum-{when}.csv")]
        table = tensor(model, "wpe.weight")
        return Table(cosines(table), cosines(table - table.mean(axis=0)), np.array(spectrum))

    def curve(self, scheme, seed):
        """Steps and losses: of batches, and of the validation text where it was evaluated."""
        read = rows(self.record.folders[scheme, seed] / "model" / "losses.csv")
        training = [(int(row["step"]), float(row["training_loss"])) for row in read]
        checked = [
            (int(row["step"]), float(row["validation_loss"])) for row in read if row["validation_loss"]
        ]
        return np.array(training), np.array(checked)

    def write(self):
        with open(self.folder / "results.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["scheme", "seed", "length", "loss"])
            for scheme in settings.SCHEMES:
                for length in self.chosen.lengths:
                    for seed, loss in zip(self.chosen.seeds, self.losses(scheme, length)):
                        table.writerow([scheme, seed, length, f"{loss:.6f}"])
        with open(self.folder / "positions.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["scheme", "seed", "length", "position", "loss"])
            for length, schemes in self.positions.items():
                for scheme, found in schemes.items():
                    for seed, losses in zip(self.chosen.seeds, found):
                        for position, loss in enumerate(losses):
                            table.writerow([scheme, seed, length, position, f"{loss:.6f}"])


def spread(values):
    """Mean and standard deviation over seeds, as text; the mean alone of one seed."""
    mean = np.mean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {np.std(values, ddof=1):.3f}"


def sign(differences):
    """-1 or 1 where all seeds agree, else 0."""
    if all(value < 0 for value in differences):
        return -1
    return 1 if all(value > 0 for value in differences) else 0


