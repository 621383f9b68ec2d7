"""Symbol graphs, from which docc makes a page a symbol.

Swift's come from the modules of a debug build, C's from the header by clang. Both are as the compilers
write them, but for C's order: the header's titles become groups of its first page.
"""

import json
import re

from benchlib import environment, modules

HEADER = modules.ROOT / "Sources" / "CEmbedKernel" / "include" / "embedkernel.h"
# `/* ---` rule, title, rule: a part of the header.
TITLE = re.compile(r"/\* -{20,}\n \* ([^\n]+)\n((?: \*(?! -{20,})[^\n]*\n)*) \* -{20,} \*/")
# An enumeration without a name, and what is said of it.
ENUMERATION = re.compile(r"(?:/\*\*((?:(?!\*/).)*)\*/\n)?enum \{(.*?)\};", re.DOTALL)
NAME = re.compile(r"\b(ek_\w+|EK_\w+)\b")


def swift(names, package, build, folder):
    """The graphs of modules, each in a folder of its name."""
    paths = modules.search_paths(package, build)
    triple = modules.triple()
    for name in names:
        place = folder / name
        place.mkdir(parents=True)
        modules.output(
            ["swift-symbolgraph-extract", "-module-name", name, *paths, "-target", triple, "-sdk", "/"]
            + ["-module-cache-path", folder / "modules", "-minimum-access-level", "public"]
            + ["-skip-synthesized-members", "-emit-extension-block-symbols", "-output-dir", place],
            where=name)
        yield name, place


def c(name, folder):
    """The graph of the C header, and an article of its parts, in a folder of the module's name."""
    place = folder / name
    place.mkdir(parents=True)
    graph = place / f"{name}.symbols.json"
    modules.output(
        ["clang", "-extract-api", "-x", "c-header", HEADER, "-I", HEADER.parent]
        + [f"--product-name={name}", "-target", modules.triple(), "-o", graph],
        where=HEADER.name)
    found = json.loads(graph.read_text())
    if not found["symbols"]:
        raise environment.Failure(f"{HEADER} declares nothing")
    explain(found["symbols"], HEADER.read_text())
    for symbol in found["symbols"]:
        # What docc calls C is Objective-C to its pages.
        symbol["identifier"]["interfaceLanguage"] = "c-header"
        symbol["kind"]["identifier"] = symbol["kind"]["identifier"].replace("c.", "swift.", 1)
    graph.write_text(json.dumps(found))
    return place, parts(HEADER.read_text(), {path_of(symbol) for symbol in found["symbols"]})


def explain(symbols, text):
    """Gives a constant of an enumeration without a name, which clang drops, what is said of the whole."""
    said = {}
    for comment, body in ENUMERATION.findall(text):
        lines = [re.sub(r"^ *\*? ?", "", line) for line in comment.strip().splitlines()]
        for name in NAME.findall(re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)):
            said[name] = lines
    for symbol in symbols:
        lines = said.get(symbol["names"]["title"])
        if lines and not symbol.get("docComment"):
            symbol["docComment"] = {"lines": [{"text": line} for line in lines]}


def path_of(symbol):
    return "/".join(symbol["pathComponents"])


def parts(text, symbols):
    """The titles of the header, each with what is said below it and its top-level symbols, in order."""
    marks = list(TITLE.finditer(text))
    if not marks:
        raise environment.Failure(f"{HEADER} has no titles")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    taken, found = set(), []
    for mark, end in zip(marks, ends):
        code = re.sub(r"/\*.*?\*/", "", text[mark.end():end], flags=re.DOTALL)
        names = [name for name in dict.fromkeys(NAME.findall(code)) if name in symbols - taken]
        taken.update(names)
        if names:
            title, _, told = mark[1].partition(". ")
            told = " ".join([told, *(line.strip(" *") for line in mark[2].splitlines())])
            found.append((title.strip(" ."), " ".join(told.split()), names))
    return found


def introduction(text):
    """The comment that the header begins with, as Markdown: first its first sentence, then the rest."""
    comment = re.match(r"/\*\n(.*?)\*/", text, flags=re.DOTALL)
    if not comment:
        raise environment.Failure(f"{HEADER} does not begin with a comment")
    lines = [re.sub(r"^ \* ?", "", line) for line in comment[1].splitlines()]
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    words = " ".join(paragraphs[0].split())
    sentence, _, rest = words.partition(". ")
    # Code is indented by two, which Markdown takes for text.
    body = []
    for paragraph in [rest, *paragraphs[1:]]:
        if paragraph.startswith("  "):
            code = "\n".join(line[2:] for line in paragraph.splitlines())
            body.append(f"```c\n{code}\n```")
        elif paragraph.strip():
            body.append(" ".join(paragraph.split()))
    return sentence.rstrip(".") + ".", "\n\n".join(body)


def c_pages(name, parts, folder):
    """A catalog for the header: what it says first, and its parts as groups of links."""
    catalog = folder / f"{name}.docc"
    catalog.mkdir()
    sentence, body = introduction(HEADER.read_text())
    lines = [f"# ``{name}``", "", "@Metadata {", '  @DisplayName("C library")', "}", "", sentence, ""]
    lines += ["## Overview", "", body, "", "## Topics", ""]
    for title, told, names in parts:
        lines += [f"### {title}", "", *([told, ""] if told else []), *(f"- ``{symbol}``" for symbol in names), ""]
    (catalog / f"{name}.md").write_text("\n".join(lines))
    return catalog
