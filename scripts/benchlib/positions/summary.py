"""The page of results: tables, and what they say of common claims. Every verdict is computed."""

import settings
from results import neighbours, sign, spread, strangers

TITLES = settings.TITLES
NONE, LEARNED = "none", "learned"
# More than what sums in another order differ by, in floats.
ROUNDING = 1e-5
# What counts as no worse, in nats: less than the plots show.
TOLERANCE = 0.02


def markdown(found):
    parts = [
        "# What positions buy", "", found.chosen.told() + ".", "",
        *short(found), *losses(found), *pairs(found), *stretches(found), *order(found), *table(found),
        *claims(found),
    ]
    return "\n".join(parts).rstrip() + "\n"


def line(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def head(*cells):
    return [line(*cells), "|" + "---|" * len(cells)]


def over_seeds(found):
    count = len(found.chosen.seeds)
    return "one seed" if count == 1 else f"mean ± standard deviation of {count} seeds"


def short(found):
    """The findings in a few lines."""
    lines = []
    for length in (found.chosen.context, found.chosen.lengths[-1]):
        means = {scheme: found.losses(scheme, length).mean() for scheme in settings.SCHEMES}
        ranked = sorted(settings.SCHEMES, key=means.get)
        told = ", ".join(f"{TITLES[scheme]} {means[scheme]:.3f}" for scheme in ranked)
        lines.append(f"- At length {length}, from the best: {told}.")
    blind = [
        TITLES[scheme] for scheme in settings.SCHEMES
        if max(found.differences(scheme, "bidirectional", "trained")) < ROUNDING
    ]
    lines.append(
        "- Without a mask, trained, blind to order (differences below "
        f"{ROUNDING:g}): {', '.join(blind) or 'no scheme'}.")
    failed = [
        claim for claim, values, *wanted in claimed(found)
        if verdict(values, *wanted).startswith(FAILS)
    ]
    lines.append(
        "- Against what is commonly said: " + ("; ".join(failed) if failed else "nothing")
        + (" (these do not hold here)." if failed else "."))
    return [*lines, ""]


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


def stretches(found):
    """Losses by position, so that the few tokens with little before them do not count."""
    ranges, longest = found.stretches, found.chosen.lengths[-1]
    lines = [
        f"## Validation loss by position, in sequences of {longest} ({over_seeds(found)})", "",
        "A longer sequence has a smaller share of tokens with little before them, which alone lowers "
        "its mean loss; here tokens of like standing are compared.", "",
        *head("positions", *(f"at {start} to {end - 1}" for start, end in ranges)),
    ]
    for scheme in settings.SCHEMES:
        cells = [spread(found.stretch(scheme, *places)) for places in ranges]
        lines.append(line(named(scheme), *cells))
    return [*lines, ""]


def named(scheme):
    return TITLES[scheme] + (", stretched" if scheme == LEARNED else "")


def span(values):
    low, high = f"{min(values):+.3f}", f"{max(values):+.3f}"
    return low if low == high else f"{low} to {high}"


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
    tables = found.tables["before"], found.tables["after"]
    size = len(tables[0][0].spectrum)
    lines = [
        f"## The learned table, before and after training ({over_seeds(found)})", "",
        "Rows are far apart from a quarter of the table on. Directions are (sum of squares)² / sum of "
        "fourth powers of the singular values.", "", *head("", "before", "after"),
    ]
    for name, figure in (
        ("cosine of neighbours", lambda t: neighbours(t.similarity)),
        ("cosine of rows far apart", lambda t: strangers(t.similarity)),
        ("cosine of neighbours, without the mean row", lambda t: neighbours(t.centred)),
        ("cosine of rows far apart, without the mean row", lambda t: strangers(t.centred)),
        (f"directions that carry the table, of {size}", lambda t: t.directions),
        ("largest singular value", lambda t: t.spectrum[0]),
    ):
        lines.append(line(name, *(spread([figure(t) for t in when]) for when in tables)))
    return [*lines, ""]


def claims(found):
    """What is commonly said, what was measured, and whether they agree."""
    lines = [
        "## What is commonly said, and what came out", "",
        "Differences within a seed, from the lowest to the highest. A claim holds where it "
        "is so at every seed, fails where it is so at none, and is open otherwise.", "",
        *head("claim", "measured", "verdict"),
    ]
    for claim, values, *wanted in claimed(found):
        lines.append(line(claim, span(values), verdict(values, *wanted)))
    return [*lines, ""]


HOLDS, OPEN, FAILS = "holds", "open", "**fails**"


def verdict(values, wanted, limit=0):
    agreed = sign([value - limit for value in values])
    word = HOLDS if agreed == wanted else OPEN if agreed == 0 else FAILS
    return word + (", one seed" if len(values) == 1 else "")


def claimed(found):
    """Claims, with differences by seed, on which side of a limit they must be, and the limit if not 0."""
    trained, longest = found.chosen.context, found.chosen.lengths[-1]
    here = {scheme: found.losses(scheme, trained) for scheme in settings.SCHEMES}
    far = {scheme: found.losses(scheme, longest) for scheme in settings.SCHEMES}
    for scheme in settings.SCHEMES[1:]:
        yield f"{TITLES[scheme]} beats no positions at length {trained}", here[scheme] - here[NONE], -1
    for scheme in ("rope", "alibi", "t5"):
        yield f"{TITLES[scheme]} beats learned at length {trained}", here[scheme] - here[LEARNED], -1
    near, last = found.stretches[0], found.stretches[-1]
    inside = f"at positions {last[0]} to {last[1] - 1} than at {near[0]} to {near[1] - 1}"
    for scheme in ("alibi", "t5"):
        values = found.stretch(scheme, *last) - found.stretch(scheme, *near)
        claim = f"{named(scheme)}: at most {TOLERANCE:g} worse {inside}"
        yield claim, values, -1, TOLERANCE
    for scheme in (NONE, "sinusoidal", "rope"):
        values = found.stretch(scheme, *last) - found.stretch(scheme, *near)
        yield f"{named(scheme)}: worse {inside}", values, 1
    # A stretched table differs at all positions, so it is held against itself unstretched.
    yield (
        f"{named(LEARNED)}: worse at length {longest} than unstretched at {trained}",
        far[LEARNED] - here[LEARNED], 1)
    for scheme in (NONE, LEARNED, "sinusoidal", "rope", "t5"):
        yield f"ALiBi beats {named(scheme)} at length {longest}", far["alibi"] - far[scheme], -1
    before, after = found.tables["before"], found.tables["after"]
    yield (
        "training makes neighbouring rows more alike than rows far apart",
        [a.order - b.order for b, a in zip(before, after)], 1)
    yield (
        "training leaves fewer directions in the table",
        [a.directions - b.directions for b, a in zip(before, after)], -1)
