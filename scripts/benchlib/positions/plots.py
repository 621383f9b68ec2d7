"""The plots, each a PNG in the experiment's folder."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as pyplot  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter  # noqa: E402

import settings  # noqa: E402

# Okabe and Ito's colours, which colour-blind readers tell apart; line styles for print.
LOOKS = {
    "none": ("#000000", ":", "o"), "learned": ("#E69F00", "-", "s"),
    "sinusoidal": ("#56B4E9", "--", "^"), "rope": ("#009E73", "-", "D"),
    "alibi": ("#D55E00", "-.", "v"), "t5": ("#CC79A7", "--", "P"),
}


def draw(found):
    pyplot.rcParams.update({
        "figure.dpi": 150, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False,
    })
    for name, plot in (
        ("length", by_length), ("positions", by_position), ("curves", curves),
        ("similarity", similarity), ("spectrum", spectrum),
    ):
        figure = plot(found)
        figure.savefig(found.folder / f"{name}.png", bbox_inches="tight")
        pyplot.close(figure)


def title(scheme, stretched=False):
    return settings.TITLES[scheme] + (", stretched" if stretched and scheme == "learned" else "")


def seeds(found):
    count = len(found.chosen.seeds)
    return "one seed" if count == 1 else f"mean of {count} seeds"


def beside(axes):
    """A legend that hides no line."""
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def by_length(found):
    lengths = found.chosen.lengths
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2))
    for scheme in settings.SCHEMES:
        colour, line, marker = LOOKS[scheme]
        losses = np.array([found.losses(scheme, length) for length in lengths])
        means = losses.mean(axis=1)
        reach = np.stack([means - losses.min(axis=1), losses.max(axis=1) - means])
        axes.errorbar(
            lengths, means, reach, color=colour, linestyle=line, marker=marker, markersize=5,
            capsize=3, label=title(scheme, True))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"evaluated at length (trained at {found.chosen.context})")
    axes.set_ylabel("validation loss, nats a byte")
    bars = "" if len(found.chosen.seeds) == 1 else "; bars from the lowest to the highest"
    axes.set_title(f"Loss beyond the trained length ({seeds(found)}{bars})", fontsize=10)
    beside(axes)
    return figure


def by_position(found):
    length = found.chosen.lengths[-1]
    width = max(1, length // 32)
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2))
    for scheme in settings.SCHEMES:
        colour, line, _ = LOOKS[scheme]
        losses = found.positions[length][scheme].mean(axis=0)
        smooth = losses.reshape(-1, width).mean(axis=1)
        places = np.arange(len(smooth)) * width + (width - 1) / 2
        axes.plot(places, smooth, color=colour, linestyle=line, label=title(scheme, True))
    axes.axvline(found.chosen.context, color="grey", linewidth=1)
    axes.annotate(
        "trained length", (found.chosen.context, 0), xycoords=("data", "axes fraction"),
        xytext=(4, 4), textcoords="offset points", color="grey", fontsize=9)
    axes.set_xlabel(f"position in sequences of {length}, means of {width}")
    axes.set_ylabel("validation loss, nats a byte")
    axes.set_title(f"Loss by position ({seeds(found)})", fontsize=10)
    beside(axes)
    return figure


def curves(found):
    figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 4), sharey=True)
    for scheme in settings.SCHEMES:
        colour, line, _ = LOOKS[scheme]
        pairs = [found.curve(scheme, seed) for seed in found.chosen.seeds]
        for panel, which in zip(axes, (0, 1)):
            steps = pairs[0][which][:, 0]
            losses = np.mean([pair[which][:, 1] for pair in pairs], axis=0)
            if which == 0:
                steps, losses = smoothed(steps, losses)
            panel.plot(steps, losses, color=colour, linestyle=line, label=title(scheme))
    axes[0].set_title("batches, means of neighbouring steps", fontsize=10)
    axes[1].set_title(f"validation text ({seeds(found)})", fontsize=10)
    axes[0].set_ylabel("loss, nats a byte")
    for panel in axes:
        panel.set_xlabel("step")
    beside(axes[1])
    figure.tight_layout()
    return figure


def smoothed(steps, losses):
    width = max(1, len(steps) // 40)
    count = len(steps) // width * width
    return (
        steps[:count].reshape(-1, width).mean(axis=1), losses[:count].reshape(-1, width).mean(axis=1)
    )


def similarity(found):
    figure, axes = pyplot.subplots(1, 3, figsize=(12.6, 4.4), layout="constrained")
    before, after = found.tables["before"][0], found.tables["after"][0]
    for panel, matrix, name in zip(
        axes, (before.similarity, after.similarity, after.centred),
        ("before training", "after training", "after training, without the mean row"),
    ):
        image = panel.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        panel.set_title(name, fontsize=10)
        panel.set_xlabel("position")
        panel.grid(False)
    axes[0].set_ylabel("position")
    figure.colorbar(image, ax=axes, label="cosine", shrink=0.85)
    figure.suptitle(f"Similarity of learned position rows, seed {found.chosen.seeds[0]}", fontsize=11)
    return figure


def spectrum(found):
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2))
    for when, colour, line in (("before", "#56B4E9", "--"), ("after", "#D55E00", "-")):
        for index, table in enumerate(found.tables[when]):
            axes.plot(
                np.arange(1, len(table.spectrum) + 1), table.spectrum, color=colour, linestyle=line,
                linewidth=1.2, label=None if index else f"{when} training")
    axes.set_yscale("log")
    axes.set_xlabel("singular value, the largest first")
    axes.set_ylabel("value")
    lines = "" if len(found.chosen.seeds) == 1 else " (a line a seed)"
    axes.set_title(f"Spectrum of the learned position table{lines}", fontsize=10)
    axes.legend()
    return figure
