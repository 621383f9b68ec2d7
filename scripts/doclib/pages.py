"""Articles that are made of what stands elsewhere: README's sections, the command's help, and pictures."""

import re
import shlex
import subprocess

from benchlib import environment, modules
from doclib import charts

README = modules.ROOT / "README.md"
# A section of README, the name of its article, and what the article is about.
SECTIONS = {
    "How fast": ("Speed", "What a call takes, against a hand-written loop and against other libraries."),
    "What positions buy": ("PositionsMeasured", "What each kind of position does for a small GPT, measured."),
    "Timing regressions": ("Benchmarks", "The benchmarks as a tool, for this package and for yours."),
    "How it is laid out": ("Layout", "The folders of the sources, in the order that data flows."),
    "Limits": ("Limits", "What is not there, was not measured, or may differ from machine to machine."),
}
# What a scheme is asked to draw beside its defaults.
DRAWN = {
    "sinusoidal": ["--dim", "64"], "rotary": [], "xpos": [], "alibi": [], "t5": ["--weight-seed", "1"],
    "kerple-logarithmic": [], "kerple-power": [], "sandwich": [], "fire": [],
}


def sections(text):
    """The parts of a Markdown text under headings of the second level, by their titles."""
    parts = re.split(r"(?m)^## (.+)\n", text)
    return dict(zip(parts[1::2], parts[2::2]))


def outside_code(text, change):
    """The text with `change` applied to what is neither a block of code nor code in a line."""
    pieces = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.DOTALL)
    return "".join(piece if index % 2 else change(piece) for index, piece in enumerate(pieces))


def linked(text, articles):
    """README's links as docc's: to articles by their names; to other files by their paths in words."""
    def link(match):
        words, target = match[1], match[2]
        if re.match(r"https?://|#", target):
            return match[0]
        path = modules.ROOT / target
        if not path.exists():
            raise environment.Failure(f"README.md links to '{target}', which is not there")
        if path.suffix == ".md" and path.parent.suffix == ".docc":
            return f"[{words}]({articles(path)})"
        return f"{words} (`{target}`)"

    # Code in the words of a link stays in them.
    return re.sub(r"\[([^\]\[]+)\]\(([^)\s]+)\)", link, text)


def of_readme(articles, folder):
    """An article for each section of README that has one: name and text; its charts go to the folder."""
    found = sections(README.read_text())
    for title, (name, about) in SECTIONS.items():
        if title not in found:
            raise environment.Failure(f"README.md has no section '{title}'")
        body = linked(found[title], articles)
        body = re.sub(r"(?m)^###(#*) ", r"##\1 ", body)
        body = outside_code(body, lambda part: part.replace("<", "&lt;"))
        body = charts.beside_tables(body, name, folder)
        yield name, f"# {title}\n\n{about}\n\n## Overview\n\n{body.strip()}\n"


def run(command, *arguments):
    result = subprocess.run([command, *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise environment.Failure(f"embedkernel {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def commands(command):
    """The command's verbs, with a line on each."""
    found = re.findall(r"(?m)^  ([a-z]+)(?: +(.*))?$", run(command, "help").split("\nOptions:")[0])
    entries = re.split(r"\n(?=  \S)", run(command, "help").split("Commands:\n")[1].split("\n\n")[0])
    pairs = [" ".join(entry.split()).split(" ", 1) for entry in entries]
    if len(pairs) != len(found) or not pairs:
        raise environment.Failure("the command's help is laid out in another way")
    return pairs


def of_help(name, summary, text):
    """The article of a verb: its help, with options as a list of terms."""
    blocks = [block for block in re.split(r"\n\n", text.strip("\n"))]
    if not blocks[0].startswith("Usage: "):
        raise environment.Failure(f"the help of {name} does not begin with its usage")
    usage = " ".join(line.strip() for line in blocks[0].removeprefix("Usage: ").splitlines())
    forms = [form.strip() for form in re.split(r"(?=embedkernel " + name + r"\b)", usage) if form.strip()]
    lines = [f"# embedkernel {name}", "", summary, "", "## Overview", "", "```sh", *forms, "```", ""]
    for block in blocks[1:]:
        head, *rest = block.splitlines()
        if re.fullmatch(r"[A-Z][\w ,-]*:", head) and rest and rest[0].startswith("  --"):
            lines += [f"### {head[:-1]}", ""]
            for entry in re.split(r"\n(?=  --)", "\n".join(rest)):
                match = re.match(r"  (--\S+(?: \S+)?)(?:\s+(.*))?$", entry.replace("\n", " "))
                lines.append(f"- term `{match[1]}`: {escaped(' '.join((match[2] or '').split()))}")
            lines.append("")
        else:
            lines += [escaped(" ".join(block.split())), ""]
    return "\n".join(lines)


def escaped(text):
    """Words of the help as they are: no mark of theirs is Markdown's, and an option is code."""
    text = re.sub(r"(?<![\w`-])(--[a-z][a-z0-9-]*)", r"`\1`", text)
    return outside_code(text, lambda part: re.sub(r"([\\*_<>\[\]])", r"\\\1", part))


def of_commands(command, pairs):
    """The articles of all verbs: name and text."""
    for name, summary in pairs:
        yield f"Command-{name}", of_help(name, summary, run(command, name, "--help"))


def check_calls(command, pairs, files):
    """Fails where an article or README calls the command by a verb or an option that it does not have."""
    helps = {name: run(command, name, "--help") for name, _ in pairs}
    helps |= {name: "" for name in ("help", "--help", "--version")}
    count = 0
    for path in files:
        for block in re.findall(r"(?ms)^```sh\n(.*?)^```$", path.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] != ["embedkernel"] or len(words) < 2:
                    continue
                count += 1
                where = f"{path.name}: '{line.strip()}'"
                if words[1] not in helps:
                    raise environment.Failure(f"{where}: embedkernel has no '{words[1]}'")
                for word in words[2:]:
                    option = word.split("=")[0]
                    if option.startswith("--") and not re.search(rf"(?m)^  {option}\b(?!-)", helps[words[1]]):
                        raise environment.Failure(f"{where}: embedkernel {words[1]} has no {option}")
    if not count:
        raise environment.Failure("no call of the command was found")


def draw(command, folder):
    """Draws the schemes; gives the article that shows them."""
    lines = ["# Pictures of positions", "", "What the schemes compute, as `embedkernel plot` draws it.", "",
             "## Overview", ""]
    for scheme, options in DRAWN.items():
        run(command, "plot", scheme, "--output", str(folder / f"plot-{scheme}.svg"), *options)
        # A drawing without a size is shown as small as one may be.
        drawing = folder / f"plot-{scheme}.svg"
        sized = re.sub(r'viewBox="0 0 (\d+) (\d+)"', r'\g<0> width="\1" height="\2"', drawing.read_text(), count=1)
        drawing.write_text(sized)
        call = " ".join(["embedkernel plot", scheme, *options, f"--output {scheme}.svg"])
        lines += [f"### {scheme}", "", f"![The values of {scheme} as a heat map](plot-{scheme}.svg)", "",
                  "```sh", call, "```", ""]
    return "\n".join(lines)
