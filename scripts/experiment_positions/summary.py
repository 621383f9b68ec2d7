"""The page of results: tables, and what they say of common claims. Every verdict is computed."""

import numpy as np

import settings
from results import sign, spread

TITLES = settings.TITLES
NONE, LEARNED = "none", "learned"


def markdown(found):
    parts = [
        "# What positions buy", "", found.chosen.told() + ".", "",
        *losses(found), *pairs(found), *order(found), *table(found), *claims(found),
    ]
    return "\n".join(parts).rstrip() + "\n"


def line(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def head(*cells):
    return [line(*cells), "|" + "---|" * len(cells)]


def over_seeds(found):
    count = len(found.chosen.seeds)
    return "one seed" if count == 1 else f"mean ± standard deviation of {count} seeds"


def losses(found):
    lengths = found.chosen.lengths
    lines = [
        f"## Validation loss, nats a byte ({over_seeds(found)})", "",
        f"Trained at {found.chosen.context}. Beyond that, learned positions are stretched linearly: "
        f"asked to go on as they are, the command says: `{found.record.refusal}`", "",
        *head("positions", *(f"at {length}" for length in lengths)),
    ]
    for scheme in settings.SCHEMES:
        cells = [spread(found.losses(scheme, length)) for length in lengths]
        lines.append(line(TITLES[scheme], *cells))
    return [*lines, ""]


def pairs(found):
    """Differences to `learned` within a seed."""
    lengths = found.chosen.lengths
    lines = [
        "## Difference to learned positions, seed by seed", "",
        "Lowest to highest difference over the seeds; below 0 is better than learned.", "",
        *head("positions", *(f"at {length}" for length in lengths)),
    ]
    for scheme in settings.UNSTRETCHED:
        cells = []
        for length in lengths:
            differences = found.losses(scheme, length) - found.losses(LEARNED, length)
            cells.append(span(differences))
        lines.append(line(TITLES[scheme], *cells))
    return [*lines, ""]


def span(values):
    low, high = f"{min(values):+.3f}", f"{max(values):+.3f}"
    return low if len(values) == 1 else f"{low} to {high}"


def order(found):
    lines = [
        "## Does order reach the output?", "",
        "The largest difference between the pooled outputs of two orders of the same words, relative "
        "to the output; the largest of the seeds. Drawn: as before training. Trained: after it, the "
        "causal model's parameters.", "",
        *head("positions", "no mask, drawn", "no mask, trained", "causal mask, trained"),
    ]
    for scheme in settings.SCHEMES:
        cells = [
            f"{max(found.differences(scheme, *kind)):.1e}"
            for kind in (
                ("bidirectional", "drawn"), ("bidirectional", "trained"), ("causal", "trained"))
        ]
        lines.append(line(TITLES[scheme], *cells))
    return [*lines, ""]


def table(found):
    before, after = found.tables["before"], found.tables["after"]
    size = len(before[0].spectrum)
    lines = [
        f"## The learned table, before and after training ({over_seeds(found)})", "",
        *head("", "before", "after"),
        line("cosine of neighbours", *(spread([t.neighbours for t in when]) for when in (before, after))),
        line(
            "cosine of positions a quarter of the table apart, or more",
            *(spread([t.strangers for t in when]) for when in (before, after))),
        line(
            f"directions that carry it, of {size}",
            *(spread([t.directions for t in when]) for when in (before, after))),
        line(
            "largest singular value",
            *(spread([t.spectrum[0] for t in when]) for when in (before, after))),
        "",
        "Directions are (sum of squares)² / sum of fourth powers of the singular values.", "",
    ]
    return lines


def claims(found):
    """What is commonly said, what was measured, and whether they agree."""
    trained, longest = found.chosen.context, found.chosen.lengths[-1]
    here = {scheme: found.losses(scheme, trained) for scheme in settings.SCHEMES}
    far = {scheme: found.losses(scheme, longest) for scheme in settings.SCHEMES}
    rounding = 1e-4
    lines = [
        "## What is commonly said, and what came out", "",
        "A claim holds where the sign is that of the claim at every seed, fails where it is the other "
        "at every seed, and is open otherwise.", "",
        *head("claim", "measured", "verdict"),
    ]

    def add(claim, differences):
        """A claim that the differences are below 0."""
        verdict = {-1: "holds", 1: "**fails**", 0: "open"}[sign(differences)]
        lines.append(line(claim, span(differences), verdict))

    for scheme in settings.SCHEMES[1:]:
        add(f"{TITLES[scheme]} beats no positions at {trained}", here[scheme] - here[NONE])
    for scheme in ("rope", "alibi", "t5"):
        add(f"{TITLES[scheme]} beats learned positions at {trained}", here[scheme] - here[LEARNED])
    add(f"ALiBi is no worse at {longest} than at {trained}", far["alibi"] - here["alibi"])
    add(f"T5's buckets are no worse at {longest} than at {trained}", far["t5"] - here["t5"])
    for scheme in (NONE, LEARNED, "sinusoidal", "rope"):
        stretched = ", stretched," if scheme == LEARNED else ""
        add(
            f"{TITLES[scheme]}{stretched} gets worse from {trained} to {longest}",
            here[scheme] - far[scheme])
    for scheme in (NONE, "sinusoidal", "rope", "t5"):
        add(f"ALiBi beats {TITLES[scheme]} at {longest}", far["alibi"] - far[scheme])

    blind = found.differences(NONE, "bidirectional", "trained")
    add(
        f"without positions or mask, order changes the output by less than {rounding:g}",
        np.array(blind) - rounding)
    for scheme in settings.SCHEMES[1:]:
        add(
            f"with {TITLES[scheme]}, trained, it changes it by more",
            rounding - np.array(found.differences(scheme, "bidirectional", "trained")))
    before, after = found.tables["before"], found.tables["after"]
    add(
        "training makes neighbouring positions more alike",
        np.array([b.neighbours - a.neighbours for b, a in zip(before, after)]))
    add(
        "training concentrates the table in fewer directions",
        np.array([a.directions - b.directions for b, a in zip(before, after)]))
    return [*lines, ""]
