"""The Markdown tables: ours in seconds, the peers as multiples of it."""

import statistics

from benchlib import reports
from benchlib.environment import Failure as Fault

import peers
import rounds
import workloads

ROWS = (
    (peers.BACKWARD, "dense backward"),
    (peers.ROW_SPARSE, "row-sparse backward, positions too"),
    (peers.STEP, "SGD step by rows"),
)


def read(path):
    """The runs that --json wrote, one or several, checked as far as a table needs."""
    data = reports.load(path)
    runs = data if isinstance(data, list) else [data]
    for run in runs:
        try:
            _ = run["cpu"] + "", run["rounds"] + 0, run["versions"].items()
            for record in run["records"]:
                place = f"{path}: {record['workload']}, {record['threads']} threads"
                if record["workload"] not in workloads.WORKLOADS:
                    raise Fault(f"{path}: no workload is called {record['workload']!r}")
                for result in record["results"]:
                    where = f"{place}: {result['implementation']}, {result['form']}"
                    values = [reports.number(value, where, 0) for value in result["seconds"]]
                    if not values or min(values) == 0:
                        raise Fault(f"{where} has no time above 0")
                    if result["faults"] is not None:
                        reports.number(result["faults"], f"{where}: faults", 0)
        except (KeyError, TypeError, AttributeError):
            raise Fault(f"{path} is no file that bench peers --json wrote") from None
    return runs


def shown_time(seconds):
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def shown_ratio(ratio):
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.0f}"


def arranged(runs):
    """(workload, threads) -> (implementation, form) -> (median over rounds, page faults a call)."""
    places = {}
    for run in runs:
        for record in run["records"]:
            place = places.setdefault((record["workload"], record["threads"]), {})
            for result in record["results"]:
                key = result["implementation"], result["form"]
                place[key] = statistics.median(result["seconds"]), result["faults"]
    order = list(workloads.WORKLOADS)
    return sorted(places.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))


def cell(place, peer, form, ours):
    found = place.get((peer, form))
    return shown_ratio(found[0] / ours) if found and ours else None


def markdown(runs):
    places = arranged(runs)
    versions = {}
    for run in runs:
        versions.update(run["versions"])
    shown = [peer for peer in peers.PEERS if any(key[0] == peer for _, place in places for key in place)]
    lines = []
    named = ", ".join(f"{peer} {versions.get(peer, '')}".strip() for peer in shown)
    cpus = " and ".join(sorted({run["cpu"] for run in runs}))
    counts = sorted({run["rounds"] for run in runs})
    lines += [
        f"{cpus}; {named}. Medians of {' or '.join(map(str, counts))} rounds; times the time of "
        f"{rounds.OURS}, above 1 is slower. In brackets: with a new output in every call.", "",
    ]
    lines += embed_table(places, shown) + gradient_table(places, shown) + fault_lines(places, shown)
    return "\n".join(lines) + "\n"


def embed_table(places, shown):
    head = ["vocabulary, batch, context, dim", "threads", rounds.OURS, *shown]
    lines = [row(head), row(["---"] * len(head))]
    for (name, threads), place in places:
        ours = place.get((rounds.OURS, peers.PREALLOCATED))
        if not ours:
            continue
        cells = [workloads.WORKLOADS[name].title, str(threads), shown_time(ours[0])]
        for peer in shown:
            into = cell(place, peer, peers.PREALLOCATED, ours[0])
            fresh = cell(place, peer, peers.FRESH, ours[0])
            text = into or ("none" if fresh else "-")
            cells.append(f"{text} ({fresh})" if fresh else text)
        lines.append(row(cells))
    return lines + [""] if len(lines) > 2 else []


def gradient_table(places, shown):
    with_gradients = [
        peer for peer in shown if any(key == (peer, form) for _, place in places for key in place
                                      for form, _ in ROWS)
    ]
    head = ["vocabulary, batch, context, dim", "threads", "what", rounds.OURS, *with_gradients]
    lines = [row(head), row(["---"] * len(head))]
    for (name, threads), place in places:
        for form, title in ROWS:
            ours = place.get((rounds.OURS, form))
            if not ours:
                continue
            cells = [workloads.WORKLOADS[name].title, str(threads), title, shown_time(ours[0])]
            cells += [cell(place, peer, form, ours[0]) or "-" for peer in with_gradients]
            lines.append(row(cells))
    return lines + [""] if len(lines) > 2 else []


def fault_lines(places, shown):
    """Page faults a call of the largest outputs, where there are any."""
    largest = [(key, place) for key, place in places if (rounds.OURS, peers.PREALLOCATED) in place]
    if not largest:
        return []
    (name, threads), place = max(
        largest, key=lambda item: (workloads.WORKLOADS[item[0][0]].output_bytes, item[0][1]))
    texts = []
    for peer in shown:
        for form in rounds.FORWARD:
            found = place.get((peer, form))
            if found and found[1] is not None and found[1] >= 1:
                texts.append(f"{peer} {form} {found[1]:.0f}")
    told = ", ".join(texts) or "none by any"
    return [f"Page faults a call at {workloads.WORKLOADS[name].title}, {threads} threads: {told}."]


def row(cells):
    return "| " + " | ".join(cells) + " |"
