"""Docstrings as docc's Markdown, and what C says for `help()`."""

import ast
import re

# PyDoc_STRVAR(name, "text" "text") of C, whose texts are cut over several lines.
STRING = r'"(?:[^"\\]|\\.)*"'
DOCUMENTED = re.compile(rf"PyDoc_STRVAR\(\s*(\w+?)_doc\s*,\s*((?:{STRING}\s*)+)\)")
# What a part of a docstring begins with, on a line of its own.
HEADING = re.compile(r"^(Args|Arguments|Attributes|Example|Examples|Note|Raises|Returns|Shapes|Yields):$")
TITLES = {"Args": "Arguments"}


def texts_of_c(folder):
    """Each text of the C sources below a folder by its name, without the signature before it."""
    found = {}
    for path in sorted([*folder.rglob("*.c"), *folder.rglob("*.h")]):
        for name, text in DOCUMENTED.findall(path.read_text()):
            text = "".join(ast.literal_eval(part) for part in re.findall(STRING, text))
            found[name] = re.sub(r"\A.*?\n--\n\n", "", text, flags=re.DOTALL)
    return found


def markdown(text):
    """A docstring as Markdown: parts under bold words, entries as terms, examples as code."""
    # Two marks are a link to docc.
    text = re.sub(r"``([^`\n]+)``", r"`\1`", text)
    lines, source, index = [], text.splitlines(), 0
    while index < len(source):
        line = source[index]
        index += 1
        if HEADING.match(line):
            block = []
            while index < len(source) and (not source[index].strip() or source[index].startswith(" ")):
                block.append(source[index])
                index += 1
            title = line[:-1]
            lines += ["", f"**{TITLES.get(title, title)}**", "", *part(block), ""]
        elif line.startswith("    ") and (not lines or not lines[-1].strip()):
            block = [line]
            while index < len(source) and (not source[index].strip() or source[index].startswith("    ")):
                block.append(source[index])
                index += 1
            code = "\n".join(row[4:] for row in block).strip("\n")
            lines += ["```python", *code.splitlines(), "```", ""]
        else:
            lines.append(line)
    return "\n".join(lines).strip("\n")


def part(block):
    """The lines of a part: entries `name: text` as terms, anything else as it is."""
    depth = min((len(row) - len(row.lstrip()) for row in block if row.strip()), default=0)
    rows = [row[depth:] for row in block]
    while rows and not rows[-1].strip():
        rows.pop()
    if not rows or not re.match(r"[\w*][\w*., ]*: ", rows[0]):
        return rows
    entries = []
    for row in rows:
        if row.startswith(" ") and entries:
            entries[-1] += " " + row.strip()
        elif row.strip():
            entries.append(row.strip())
    if not all(": " in entry for entry in entries):
        return rows
    return ["- term `{}`: {}".format(*entry.split(": ", 1)) for entry in entries]
