"""Where a benchmark's instructions are spent, by function and line, and what changed from base to head.

callgrind counts by address in a program without debug information, of a form that valgrind 3.19 does
not read; llvm-symbolizer tells the lines of those addresses from the program as it was built. Where it
is not there, functions are told without lines. Lines are matched by their text, since a change moves
those below it.
"""

import collections
import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from benchlib import environment, instructions, processes

# What is told of a benchmark: the functions and lines that changed the most.
FUNCTIONS, LINES = 5, 3
# Functions whose counts moved by less than this part of the benchmark's are left out.
LEAST = 0.001


@dataclasses.dataclass(frozen=True)
class Profile:
    """One call of one benchmark."""

    # instructions, allocations, bytes_read, bytes_written
    counts: dict
    # Function -> address, or None outside of the program itself -> instructions of its own.
    functions: dict
    program: pathlib.Path


def read(dump, object_name, program):
    """The benchmark's name and profile, of one of callgrind's files. `object_name` is what the file calls
    the program that was run, `program` the same with debug information."""
    name, counts = instructions.read(dump)
    functions = collections.defaultdict(collections.Counter)
    here = function = None
    is_call = False
    skipped = instructions.WAITING if processes.threads(name) > 1 else ()
    for line in dump.read_text(errors="replace").splitlines():
        if line.startswith("ob="):
            here = line[3:]
        elif line.startswith("fn="):
            # Recursion gives a name a tail such as 'malloc'2.
            function = re.sub(r"'\d+$", "", line[3:])
        elif line.startswith("calls="):
            # The next line is what the callee took, which is the callee's own.
            is_call = True
        elif line.startswith("0x"):
            if not is_call and function not in skipped:
                address, _, cost, *_ = line.split()
                functions[function][int(address, 16) if here == object_name else None] += int(cost)
            is_call = False
        elif line.startswith("positions: ") and line != "positions: instr line":
            raise environment.Failure(f"{dump} counts by '{line[11:]}': expected addresses and lines")
    if sum(cost for costs in functions.values() for cost in costs.values()) != counts["instructions"]:
        raise environment.Failure(f"{dump} has a total that its functions do not make up")
    return name, Profile(counts, {key: dict(value) for key, value in functions.items()}, program)


def record(program, names):
    """Runs a program's benchmarks, named without their clock, under callgrind; name -> profile."""
    instructions.require_valgrind()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder).resolve()
        copy = instructions.stripped(program, folder)
        found = {}
        for several in (False, True):
            chosen = [name for name in names if (processes.threads(name) > 1) == several]
            # What an older harness would count of several threads is not what they do.
            if not chosen or several and not instructions.counts_all_threads(program):
                continue
            pattern = f"{processes.exactly(chosen)[:-1]}(/(real|manual)_time)?$"
            run = folder / f"run-{several}"
            started = instructions.start(copy, pattern, run, "--dump-instr=yes", all_threads=several)
            try:
                instructions.finish(started)
            finally:
                started[1].kill()
            found.update(read(dump, str(copy), program) for dump in instructions.dumps(run))
        return found


def readable(names):
    """Name -> the same as its source has it."""
    mangled = [name for name in names if name.startswith("$s")] if shutil.which("swift") else []
    told = []
    if mangled:
        command = ["swift", "demangle", "--simplified", "--compact", *mangled]
        told = [re.sub("^((generic )?specialized|merged) ", "", name)
                for name in processes.execute(command).splitlines()]
    shown = dict(zip(mangled, told)) if len(told) == len(mangled) else {}
    return {name: shown.get(name, name) for name in names}


def symbolized(program, addresses):
    """What llvm-symbolizer says of addresses, a line of JSON each; nothing where it is not there."""
    if not addresses or not shutil.which("llvm-symbolizer"):
        return ""
    return subprocess.run(
        ["llvm-symbolizer", "--output-style=JSON", f"--obj={program}"],
        input="".join(f"{address:#x}\n" for address in addresses), capture_output=True, text=True).stdout


def places(program, addresses):
    """Address -> (file, line) in the package, where they are known."""
    found = {}
    for line in symbolized(program, addresses).splitlines():
        entry = json.loads(line)
        place = chosen(entry.get("Symbol", []), root(program))
        if place:
            found[int(entry["Address"], 16)] = place
    return found


def root(program):
    """The folder of the package that a program was built in."""
    parts = pathlib.Path(program).parts
    return pathlib.Path(*parts[: parts.index(".build")]) if ".build" in parts else None


def chosen(frames, root):
    """The innermost of inlined frames that is the package's own, else the innermost with a line."""
    told = [(pathlib.Path(f["FileName"]), f["Line"]) for f in frames if f.get("FileName") and f.get("Line")]
    own = [(path, line) for path, line in told if root and path.is_relative_to(root)]
    return own[0] if own else told[0] if told else None


def source(path, line):
    try:
        return path.read_text(errors="replace").splitlines()[line - 1].strip()
    except (OSError, IndexError):
        return ""


def lines(profile, function):
    """(file within the package, text or number of a line) -> (line, instructions)."""
    costs = profile.functions.get(function, {})
    known = places(profile.program, [address for address in costs if address is not None])
    found = {}
    for address, cost in costs.items():
        if address not in known:
            continue
        path, number = known[address]
        text = source(path, number)
        folder = root(profile.program)
        if folder and path.is_relative_to(folder):
            path = path.relative_to(folder)
        key = str(path), text or number
        first, before = found.get(key, (number, 0))
        found[key] = min(first, number), before + cost
    return found


def by_readable_names(*profiles):
    """The same under names as the source has them, without types and specialisations: what a change of a
    type turns into another symbol stays one function."""
    shown = readable(sorted({name for profile in profiles for name in profile.functions}))
    for profile in profiles:
        functions = collections.defaultdict(collections.Counter)
        for name, costs in profile.functions.items():
            functions[shown[name]].update(costs)
        yield dataclasses.replace(profile, functions={name: dict(costs) for name, costs in functions.items()})


def renamed(before, after):
    """Functions that are gone, and new ones that take as many instructions, pair by pair."""
    gone = {name: cost for name, cost in before.items() if name not in after}
    found = set()
    for name, cost in after.items():
        twin = next((other for other in gone if gone[other] == cost), None) if name not in before else None
        if twin is not None:
            del gone[twin]
            found |= {name, twin}
    return found


def changes(base, head):
    """What --json has of a benchmark: its counts, and the functions and lines that changed the most."""
    base, head = by_readable_names(base, head)
    before, after = (
        {name: sum(costs.values()) for name, costs in profile.functions.items()}
        for profile in (base, head))
    names = {**before, **after}.keys() - renamed(before, after)
    differences = {name: after.get(name, 0) - before.get(name, 0) for name in names}
    least = LEAST * base.counts["instructions"]
    most = sorted(
        (name for name in differences if abs(differences[name]) > least),
        key=lambda name: (-abs(differences[name]), name))[:FUNCTIONS]
    return {
        "base": base.counts,
        "head": head.counts,
        "functions": [
            {"name": name, "base": before.get(name, 0), "head": after.get(name, 0),
             "lines": line_changes(lines(base, name), lines(head, name), least)}
            for name in most
        ],
    }


def line_changes(before, after, least):
    found = []
    for key in {**before, **after}:
        number, cost = after.get(key, (before.get(key, (0, 0))[0], 0))
        earlier = before.get(key, (0, 0))[1]
        if abs(cost - earlier) > least:
            text = key[1] if isinstance(key[1], str) else ""
            found.append({"file": key[0], "line": number, "text": text, "base": earlier, "head": cost})
    found.sort(key=lambda row: (-abs(row["head"] - row["base"]), row["file"], row["line"]))
    return found[:LINES]


def explain(base, head, names):
    """Name -> changes, of benchmarks of two programs. Where callgrind cannot count one, it is told on
    standard error and left out."""
    # The harness hands over names without the clock that the library adds.
    short = {name: re.sub(r"/(real|manual)_time$", "", name) for name in names}
    try:
        before, after = (record(program, list(short.values())) for program in (base, head))
    except environment.Failure as failure:
        print(f"no instructions by function: {failure}", file=sys.stderr)
        return {}
    found = {}
    for name in names:
        if short[name] in before and short[name] in after:
            found[name] = changes(before[short[name]], after[short[name]])
        else:
            print(f"no instructions by function: {name}: callgrind counted none", file=sys.stderr)
    return found


def signed(base, head):
    share = f" ({100 * (head / base - 1):+.1f}%)" if base else ""
    return f"{head - base:+,}{share}"


def summary(change):
    """One sentence on a benchmark's counts."""
    base, head = change["base"], change["head"]
    told = [f"{base['instructions']:,} -> {head['instructions']:,} instructions a call, "
            f"{signed(base['instructions'], head['instructions'])}"]
    for part in ("allocations", "bytes_read", "bytes_written"):
        if base[part] != head[part]:
            told.append(f"{part.replace('_', ' ')} {base[part]:,} -> {head[part]:,}")
    if not change["functions"]:
        told.append("no function takes more: look at memory, branches and the processor's clock")
    return "; ".join(told)


def markdown(explained):
    """Sections for benchmark -> changes."""
    for name, change in explained.items():
        part = " (of all threads, without what waits)" if processes.threads(name) > 1 else ""
        yield from ("", f"**{name}**: {summary(change)}{part}", "")
        if not change["functions"]:
            continue
        yield "| function, line | base | head | difference |"
        yield "|---|---:|---:|---:|"
        for function in change["functions"]:
            yield row(f"`{function['name']}`", function)
            for line in function["lines"]:
                text = f" `{quoted(line['text'])}`" if line["text"] else ""
                yield row(f"&nbsp;&nbsp;{line['file']}:{line['line']}{text}", line)


def quoted(text):
    """Code in a cell of a table."""
    return text.replace("`", "'").replace("|", "\\|")[:80]


def row(label, part):
    return f"| {label} | {part['base']:,} | {part['head']:,} | {signed(part['base'], part['head'])} |"
