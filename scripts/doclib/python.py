"""The symbol graph of the Python package, read from its sources: nothing is imported.

What is public is what a module's `__all__` lists, else what does not begin with `_`; a module in the list
is shown with its own. A signature is the stub's where there is one; a text is the stub's, the module's, or
that of the C sources.
"""

import ast
import json
import re

from benchlib import environment, modules
from doclib.docstrings import markdown, texts_of_c

SOURCES = modules.ROOT / "Sources" / "Python"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What docc calls a kind, and what a page does.
KINDS = {
    "module": ("swift.namespace", "Module"), "class": ("swift.class", "Class"),
    "function": ("swift.func", "Function"), "method": ("swift.method", "Method"),
    "attribute": ("swift.property", "Attribute"), "constant": ("swift.var", "Constant"),
}


class Symbol:
    """What is to be shown, by the path of its names from the module that has a page of its own."""

    def __init__(self, path, kind, declaration, text):
        self.path, self.kind, self.declaration, self.text = path, kind, declaration, text

    @property
    def identifier(self):
        return "py:" + ".".join(self.path)

    def entry(self):
        """The symbol as a graph has it."""
        identifier, display = KINDS[self.kind]
        title = self.path[-1]
        found = {
            "accessLevel": "public", "pathComponents": list(self.path),
            "identifier": {"interfaceLanguage": "python", "precise": self.identifier},
            "kind": {"identifier": identifier, "displayName": display},
            "names": {"title": title, "subHeading": fragments(title, shortened(self.declaration)),
                      "navigator": [{"kind": "identifier", "spelling": title}]},
            "declarationFragments": fragments(title, self.declaration),
        }
        if self.text:
            lines = markdown(self.text).splitlines()
            found["docComment"] = {"lines": [{"text": line} for line in lines]}
        return found


def shortened(text):
    """A declaration for a list: arguments by their names, the first three of them."""
    match = re.match(r"(.*?def \w+)\(", text, flags=re.DOTALL)
    if not match:
        return text
    node = ast.parse(re.sub(r"^@\w+ ", "", text) + ": ...").body[0]
    node.args.posonlyargs, node.args.args = [], [*node.args.posonlyargs, *node.args.args]
    names = [each.arg for each in node.args.args if each.arg not in ("self", "cls")]
    more = len(names) > 3 or node.args.kwonlyargs or node.args.vararg or node.args.kwarg
    return f"{match[1]}({', '.join(names[:3] + (['...'] if more else []))})"


def fragments(name, text):
    """A declaration in the pieces that docc colours."""
    pieces, named = [], False
    for part in re.findall(r"\w+|\W+", text):
        if part == name and not named:
            pieces.append(("identifier", part))
            named = True
        else:
            pieces.append(("keyword" if part in ("class", "def", "module") else "text", part))
    return [{"kind": kind, "spelling": spelling} for kind, spelling in pieces]


def documentation(node):
    if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Module)):
        return ast.get_docstring(node)
    return getattr(node, "text_below", None)


def members(body):
    """What a module or a class defines, by name: the first of overloads."""
    found = {}
    for node, below in zip(body, [*body[1:], None]):
        names = []
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, (ast.If, ast.Try)):
            for name, inner in members(node.body).items():
                found.setdefault(name, inner)
        if (isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)):
            node.text_below = below.value.value
        for name in names:
            found.setdefault(name, node)
    return found


def declaration(name, node):
    """A definition's declaration, as one would write it."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases})" if bases else f"class {name}"
    if isinstance(node, FUNCTIONS):
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        if is_property(node):
            return f"{name}: {ast.unparse(node.returns)}" if node.returns else name
        marks = "".join(f"@{ast.unparse(mark)} " for mark in node.decorator_list
                        if ast.unparse(mark) in ("staticmethod", "classmethod"))
        arguments = ast.unparse(node.args)
        if len(arguments) > 60:
            arguments = "\n" + "".join(f"    {each},\n" for each in separate(node.args))
        return f"{marks}def {name}({arguments}){result}"
    if isinstance(node, ast.AnnAssign):
        return f"{name}: {ast.unparse(node.annotation)}"
    return name


def separate(arguments):
    """Each argument as it is written, with the marks between them."""
    whole = ast.parse(f"def f({ast.unparse(arguments)}): ...").body[0].args
    positional = [*whole.posonlyargs, *whole.args]
    defaults = [None] * (len(positional) - len(whole.defaults)) + whole.defaults

    def shown(argument, default):
        equals = " = " if argument.annotation else "="
        return ast.unparse(argument) + (equals + ast.unparse(default) if default is not None else "")

    for index, pair in enumerate(zip(positional, defaults)):
        yield shown(*pair)
        if whole.posonlyargs and index + 1 == len(whole.posonlyargs):
            yield "/"
    if whole.vararg:
        yield "*" + ast.unparse(whole.vararg)
    elif whole.kwonlyargs:
        yield "*"
    for pair in zip(whole.kwonlyargs, whole.kw_defaults):
        yield shown(*pair)
    if whole.kwarg:
        yield "**" + ast.unparse(whole.kwarg)


def is_property(node):
    marks = [ast.unparse(mark) for mark in getattr(node, "decorator_list", [])]
    return "property" in marks or "cached_property" in marks or "functools.cached_property" in marks


class Reader:
    """Reads the modules of the package, following what one imports of another."""

    def __init__(self):
        self.trees = {}
        self.texts = texts_of_c(SOURCES)

    def module(self, dotted):
        """The trees of a module, stub first; none where it is not of the package."""
        path = SOURCES.joinpath(*dotted.split("."))
        path = path / "__init__" if path.is_dir() else path
        found = []
        for ending in (".pyi", ".py"):
            file = path.with_suffix(ending)
            if file not in self.trees:
                self.trees[file] = ast.parse(file.read_text(), str(file)) if file.exists() else None
            if self.trees[file]:
                found.append(self.trees[file])
        return found

    def text(self, dotted):
        return next(filter(None, map(documentation, self.module(dotted))), None)

    def public(self, dotted):
        """The names that a module offers."""
        trees = self.module(dotted)
        for tree in trees:
            listed = members(tree.body).get("__all__")
            if isinstance(listed, (ast.Assign, ast.AnnAssign)):
                return [item.value for item in listed.value.elts]
        return [name for name in members(trees[-1].body) if not name.startswith("_")]

    def definitions(self, dotted, name, seen=()):
        """The nodes that define a module's name, stub first, wherever it is imported from."""
        if (dotted, name) in seen:
            return []
        found = []
        for tree in self.module(dotted):
            node = members(tree.body).get(name)
            if node is not None:
                found.append(node)
                continue
            for source, original in self.imports(tree, dotted, name):
                found += self.definitions(source, original, (*seen, (dotted, name)))
        return found

    def imports(self, tree, dotted, name):
        """The modules, with the name there, that a name is imported from."""
        is_package = SOURCES.joinpath(*dotted.split(".")).is_dir()
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            base = dotted.split(".")
            if node.level:
                base = base[:len(base) - node.level + (1 if is_package else 0)]
            source = ".".join([*(base if node.level else []), *([node.module] if node.module else [])])
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    yield source, alias.name

    def symbols(self, dotted, path=()):
        """The public symbols of a module, with their members."""
        if not self.module(dotted):
            raise environment.Failure(f"no module {dotted} in {SOURCES}")
        for name in self.public(dotted):
            if name.startswith("__"):
                continue
            if self.module(f"{dotted}.{name}"):
                inner = f"{dotted}.{name}"
                yield Symbol((*path, name), "module", f"module {inner}", self.text(inner))
                yield from self.symbols(inner, (*path, name))
                continue
            nodes = self.definitions(dotted, name)
            if not nodes:
                raise environment.Failure(f"{dotted} lists '{name}', which nothing in {SOURCES} defines")
            yield from self.described((*path, name), nodes, False)

    def described(self, path, nodes, is_member):
        """The symbol of some nodes, stub first, and those of its members."""
        node = nodes[0]
        if isinstance(node, ast.ClassDef):
            kind = "class"
        elif isinstance(node, FUNCTIONS) and not is_property(node):
            kind = "method" if is_member else "function"
        else:
            kind = "attribute" if is_member else "constant"
        text = next(filter(None, map(documentation, nodes)), None)
        text = text or self.texts.get("_".join(path)) or self.texts.get(path[-1])
        yield Symbol(path, kind, declaration(path[-1], node), text)
        if kind != "class":
            return
        inner = {}
        for each in nodes:
            for name, member in members(getattr(each, "body", [])).items():
                inner.setdefault(name, []).append(member)
        for name, found in inner.items():
            if not name.startswith("_"):
                yield from self.described((*path, name), found, True)


def graph(module, dotted, folder):
    """Writes the graph of a Python module under docc's name for it: its folder, and its symbols."""
    found = list(Reader().symbols(dotted))
    silent = [".".join(symbol.path) for symbol in found
              if not symbol.text and symbol.kind in ("class", "function", "module")]
    if silent:
        raise environment.Failure(f"{dotted}: no docstring of {', '.join(silent)}")
    place = folder / module
    place.mkdir(parents=True)
    (place / f"{module}.symbols.json").write_text(json.dumps({
        "metadata": {"formatVersion": {"major": 0, "minor": 6, "patch": 0}, "generator": "scripts/docs"},
        "module": {"name": module, "platform": {}},
        "symbols": [symbol.entry() for symbol in found],
        "relationships": [
            {"kind": "memberOf", "source": symbol.identifier, "target": "py:" + ".".join(symbol.path[:-1])}
            for symbol in found if len(symbol.path) > 1],
    }))
    return place, found


def page(module, dotted, title, found, folder):
    """A catalog for a Python module: its docstring, and what it offers in groups."""
    text = Reader().text(dotted)
    if not text:
        raise environment.Failure(f"{dotted} has no docstring")
    catalog = folder / f"{module}.docc"
    catalog.mkdir()
    first, _, rest = markdown(text).partition("\n\n")
    lines = [f"# ``{module}``", "", "@Metadata {", f'  @DisplayName("{title}")', "}", ""]
    lines += [" ".join(first.split()), "", "## Overview", "", rest, "", "## Topics", ""]
    for heading, kind in (("Functions", "function"), ("Classes", "class"), ("Constants", "constant"),
                          ("Modules", "module")):
        names = [symbol.path[0] for symbol in found if symbol.kind == kind and len(symbol.path) == 1]
        if names:
            lines += [f"### {heading}", "", *(f"- ``{name}``" for name in names), ""]
    (catalog / f"{module}.md").write_text("\n".join(lines))
    return catalog
