"""What scripts/docs makes of headers, docstrings, help and README, and what it refuses."""

import ast
import json
import pathlib
import re
import tempfile
import unittest
from unittest import mock
from xml.etree import ElementTree

from benchlib import environment
from doclib import charts, docstrings, graphs, pages, python

HEADER = """/*
 * A library for C. Link it;
 * it is small.
 *
 *   int x = f();
 *
 * Errors. None.
 */

/* ------------------------------------------------------------------------------------------------
 * The first part. It is short
 *
 * And is told here.
 * --------------------------------------------------------------------------------------------- */

/** Kinds of things. */
enum { EK_A = 0, EK_B = 1 };
int ek_first(int x);

/* ------------------------------------------------------------------------------------------------
 * The rest
 * --------------------------------------------------------------------------------------------- */

/** Uses ek_first. */
int ek_second(int x);
"""


class Header(unittest.TestCase):
    def test_parts_are_the_titles_with_their_symbols(self):
        self.assertEqual(
            graphs.parts(HEADER, {"EK_A", "EK_B", "ek_first", "ek_second"}),
            [("The first part", "It is short And is told here.", ["EK_A", "EK_B", "ek_first"]),
             ("The rest", "", ["ek_second"])])
        with self.assertRaises(environment.Failure):
            graphs.parts("int ek_first(void);", {"ek_first"})

    def test_the_first_comment_is_the_first_page(self):
        self.assertEqual(
            graphs.introduction(HEADER),
            ("A library for C.", "Link it; it is small.\n\n```c\nint x = f();\n```\n\nErrors. None."))

    def test_constants_take_what_is_said_of_all(self):
        symbols = [{"names": {"title": "EK_A"}}, {"names": {"title": "ek_first"}},
                   {"names": {"title": "EK_B"}, "docComment": {"lines": [{"text": "own"}]}}]
        graphs.explain(symbols, HEADER)
        self.assertEqual(symbols[0]["docComment"]["lines"], [{"text": "Kinds of things."}])
        self.assertNotIn("docComment", symbols[1])
        self.assertEqual(symbols[2]["docComment"]["lines"], [{"text": "own"}])


class Docstrings(unittest.TestCase):
    def test_parts_become_terms(self):
        text = "Does it.\n\nArgs:\n    a: the first,\n        on two lines.\n    b, c: others.\n\nReturns:\n    Nothing."
        self.assertEqual(
            docstrings.markdown(text).split("\n"),
            ["Does it.", "", "", "**Arguments**", "", "- term `a`: the first, on two lines.",
             "- term `b, c`: others.", "", "", "**Returns**", "", "Nothing."])

    def test_code_and_marks(self):
        self.assertEqual(
            docstrings.markdown("Reads ``x``.\n\n    f(x)\n\n    g(x)\n\nEnds."),
            "Reads `x`.\n\n```python\nf(x)\n\ng(x)\n```\n\nEnds.")

    def test_texts_of_c(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "docs.h").write_text(
                'PyDoc_STRVAR(\n    f_doc,\n    "f(x)\\n--\\n\\n"\n    "Does \\"it\\".\\n");\n')
            self.assertEqual(docstrings.texts_of_c(pathlib.Path(folder)), {"f": 'Does "it".\n'})


class Python(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        patch = mock.patch.object(python, "SOURCES", self.root)
        patch.start()
        self.addCleanup(patch.stop)
        self.write("p/__init__.py", '"""A package.\n\nMore."""\nfrom . import sub\nfrom ._c import f\n'
                   'from .parts import Thing\n__all__ = ["Thing", "f", "sub"]\n')
        self.write("p/_c.pyi", "def f(a: int, b: int = 1, *, c: str = 'x') -> int: ...\n")
        self.write("p/parts.py", 'class Thing:\n    """A thing."""\n    size: int\n    """Its size."""\n'
                   '    def go(self, far): """Goes."""\n    @property\n    def name(self) -> str: """Its name."""\n'
                   '    def _hidden(self): ...\n')
        self.write("p/sub.py", '"""A part."""\ndef g(): """Gives."""\ndef _h(): ...\n')
        self.write("core/docs.c", 'PyDoc_STRVAR(f_doc, "f(a)\\n--\\n\\nFinds.\\n");\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_what_is_public_and_where_it_stands(self):
        found = {".".join(symbol.path): symbol for symbol in python.Reader().symbols("p")}
        self.assertEqual(
            list(found), ["Thing", "Thing.size", "Thing.go", "Thing.name", "f", "sub", "sub.g"])
        self.assertEqual(
            [symbol.kind for symbol in found.values()],
            ["class", "attribute", "method", "attribute", "function", "module", "function"])
        self.assertEqual(found["f"].text, "Finds.\n")
        self.assertEqual(found["f"].declaration, "def f(a: int, b: int=1, *, c: str='x') -> int")
        self.assertEqual(found["Thing.size"].text, "Its size.")
        self.assertEqual(found["Thing.name"].declaration, "name: str")
        self.assertEqual(python.shortened(found["f"].declaration), "def f(a, b, ...)")

    def test_a_long_declaration_is_a_line_an_argument(self):
        node = ast.parse("def f(first: int, /, second=2, *rest, third: str | None = None, **more): ...").body[0]
        self.assertEqual(
            list(python.separate(node.args)),
            ["first: int", "/", "second=2", "*rest", "third: str | None = None", "**more"])

    def test_graph_and_page(self):
        place, found = python.graph("M", "p", self.root / "graphs")
        graph = json.loads((place / "M.symbols.json").read_text())
        self.assertEqual(len(graph["symbols"]), len(found))
        self.assertIn(
            {"kind": "memberOf", "source": "py:Thing.go", "target": "py:Thing"}, graph["relationships"])
        page = (python.page("M", "p", "P", found, self.root) / "M.md").read_text()
        self.assertIn("# ``M``\n", page)
        self.assertIn("### Functions\n\n- ``f``\n\n### Classes\n\n- ``Thing``\n\n### Modules\n\n- ``sub``\n", page)

    def test_what_is_refused(self):
        self.write("p/sub.py", '"""A part."""\ndef g(): ...\n')
        with self.assertRaisesRegex(environment.Failure, "no docstring of sub.g"):
            python.graph("M", "p", self.root / "graphs")
        self.write("p/__init__.py", '__all__ = ["gone"]\n')
        with self.assertRaisesRegex(environment.Failure, "lists 'gone'"):
            list(python.Reader().symbols("p"))


class Pages(unittest.TestCase):
    def test_help_becomes_terms(self):
        text = ("Usage: embedkernel tell --to X\n                        [OPTIONS]\n       embedkernel tell\n\n"
                "Tells with --to what\nit knows.\n\nWhom:\n  --to X                      The one.\n"
                "  --a-very-long-option NAME\n                              Another.\n")
        page = pages.of_help("tell", "Tells.", text)
        self.assertIn("```sh\nembedkernel tell --to X [OPTIONS]\nembedkernel tell\n```", page)
        self.assertIn("Tells with `--to` what it knows.", page)
        self.assertIn("### Whom\n\n- term `--to X`: The one.\n- term `--a-very-long-option NAME`: Another.\n", page)

    def test_links_of_readme(self):
        def articles(path):
            return f"doc:/{path.stem}"

        self.assertEqual(
            pages.linked("[`a`](Sources/EmbedKernel/EmbedKernel.docc/Positions.md), [b](LICENSE)", articles),
            "[`a`](doc:/Positions), b (`LICENSE`)")
        with self.assertRaisesRegex(environment.Failure, "'gone.md', which is not there"):
            pages.linked("[a](gone.md)", articles)

    def test_calls_are_held_to_the_options(self):
        helps = {"tell": "  --to X      The one.\n  --too       More.\n"}
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "page.md"
            with mock.patch.object(pages, "run", lambda command, name, option: helps[name]):
                def check(line):
                    page.write_text(f"```sh\n{line}\n```\n")
                    pages.check_calls("embedkernel", [("tell", "")], [page])

                check("embedkernel tell --to x \\\n  --too  # a comment")
                for line, message in (("embedkernel tell --t x", "tell has no --t"),
                                      ("embedkernel say", "has no 'say'"), ("ls", "no call")):
                    with self.assertRaisesRegex(environment.Failure, message):
                        check(line)


class Charts(unittest.TestCase):
    SPEED = ("| vocabulary, batch, context, dim | threads | EmbedKernel | NumPy 2.4 | MLX |\n|---|---|---|---|---|\n"
             "| 50257, 4, 2048, 1024 | 2 | 1.45 ms | 4.09 (10) | (6.79) |\n\nMore.\n")

    def test_a_chart_below_its_table(self):
        with tempfile.TemporaryDirectory() as folder:
            text = charts.beside_tables(self.SPEED, "Speed", pathlib.Path(folder))
            drawing = ElementTree.parse(pathlib.Path(folder) / "chart-speed-0.svg")
        self.assertIn("(6.79) |\n\n![(50257, 4, 2048, 1024), 2 threads: times EmbedKernel's](chart-speed-0.svg)", text)
        self.assertTrue(text.endswith("\nMore.\n"))
        words = [element.text for element in drawing.iter() if element.tag.endswith("text")]
        self.assertEqual(words[1:], ["EmbedKernel", "1", "NumPy 2.4", "4.09", "MLX", "6.79"])
        widths = [float(element.get("width")) for element in drawing.iter() if element.tag.endswith("rect")]
        self.assertAlmostEqual(widths[1] / widths[0], 4.09, delta=0.01)

    def test_lines_over_lengths(self):
        drawing = charts.lines(
            "T", ["positions", "at 64", "at 128", "at 256"],
            [["none", "2.0 ± 0.1", "2.5", "3.0"], ["ALiBi", "2.0", "2.0", "2.0"]])
        points = re.findall(r'points="([^"]+)"', drawing)
        self.assertEqual([line.split()[0] for line in points], ["60.0,380.0", "60.0,380.0"])
        self.assertEqual(sorted(line.split()[-1] for line in points), ["510.0,380.0", "510.0,56.0"])

    def test_a_table_that_is_not_there(self):
        with self.assertRaisesRegex(environment.Failure, "no table that begins"):
            charts.beside_tables("", "Speed", pathlib.Path("."))
        with self.assertRaisesRegex(environment.Failure, "0 rows"):
            charts.beside_tables(self.SPEED.replace("2048", "2049"), "Speed", pathlib.Path("."))


if __name__ == "__main__":
    unittest.main()
