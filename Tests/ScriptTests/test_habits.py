"""What scripts/lines counts and refuses, and what scripts/api makes of a dump."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

from benchlib import environment
from test_reports import script


class Lines(unittest.TestCase):
    def setUp(self):
        self.script = script("lines")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name, count in (("A/one.swift", 150), ("A/two.c", 40), ("B/three.h", 10), ("B/notes.md", 9)):
            path = self.root / "Sources" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("line\n" * count)
        (self.root / "Sources" / "B" / "again.swift").symlink_to(self.root / "Sources" / "A" / "one.swift")
        self.write(sources=200, file=150, targets={"A": 200, "B": 100}, aims={"A": 100})
        for name, value in (("ROOT", self.root), ("LIMITS", self.root / ".lines.json")):
            patch = mock.patch.object(self.script, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def write(self, **limits):
        (self.root / ".lines.json").write_text(json.dumps(limits))

    def run_script(self, *arguments):
        out = io.StringIO()
        with mock.patch.object(sys, "argv", ["lines", *arguments]), contextlib.redirect_stdout(out):
            return self.script.main(), out.getvalue()

    def test_within_the_limits(self):
        self.assertEqual(self.run_script("--check"), (0, "lines: 200 within 200\n"))

    def test_each_limit_holds(self):
        for changed, told in (
            ({"sources": 199}, "Sources: 200 lines, at most 199"),
            ({"file": 149}, "Sources/A/one.swift: 150 lines, at most 149"),
            ({"targets": {"A": 189, "B": 100}}, "A: 190 lines, at most 189"),
            ({"targets": {"A": 200}}, "B: no limit for its 10 lines"),
        ):
            self.write(**{"sources": 200, "file": 150, "targets": {"A": 200, "B": 100}, "aims": {}, **changed})
            with self.subTest(told):
                status, out = self.run_script("--check")
                self.assertEqual(status, 2)
                self.assertEqual(out.splitlines()[0], told)

    def test_limits_are_taken_at_the_next_hundred(self):
        self.write(sources=1, file=150, targets={"gone": 7}, aims={"A": 100})
        self.assertEqual(self.run_script("--accept")[0], 0)
        self.assertEqual(
            json.loads((self.root / ".lines.json").read_text()),
            {"sources": 200, "file": 150, "targets": {"A": 200, "B": 100}, "aims": {"A": 100}})
        self.assertEqual(self.run_script("--check")[0], 0)

    def test_limits_that_are_none_are_refused(self):
        for limits in ({}, {"targets": {"A": "x"}, "aims": {}, "sources": 1, "file": 1},
                       {"targets": {}, "aims": {}, "file": 1}):
            self.write(**limits)
            with self.assertRaises(environment.Failure):
                self.run_script("--check")


class API(unittest.TestCase):
    def setUp(self):
        self.script = script("api")

    def lines(self, *nodes):
        with mock.patch.object(self.script, "output", lambda command, text, where: text):
            return self.script.text("M", {"children": list(nodes)}).splitlines()

    def test_declarations_are_sorted_and_derived_ones_left_out(self):
        copyable = [{"printedName": name, "usr": "s:x"} for name in ("Copyable", "Escapable", "Sendable")]
        b = {"kind": "TypeDecl", "declKind": "Struct", "name": "B", "mangledName": "M.B", "conformances": copyable,
             "children": [
                 {"kind": "Function", "declKind": "Func", "name": "run", "printedName": "run(at:)",
                  "mangledName": "M.B.run(at: Swift.Int) throws(M.E) -> ()", "funcSelfKind": "Mutating",
                  "children": [{}, {"hasDefaultArg": True}]},
                 {"kind": "Var", "declKind": "Var", "name": "size", "mangledName": "M.B.size : Swift.Int",
                  "accessors": [{"accessorKind": "get"}, {"accessorKind": "set", "isInternal": True}]},
                 {"kind": "Function", "declKind": "Func", "name": "==", "implicit": True},
                 {"kind": "Function", "declKind": "Func", "name": "inner", "isInternal": True},
             ]}
        a = {"kind": "TypeDecl", "declKind": "Class", "name": "A", "mangledName": "M.A", "children": [],
             "conformances": [{"printedName": "Error", "usr": "s:y"}]}
        self.assertEqual(
            self.lines(b, a),
            ["class A: Error", "struct B: Sendable",
             "mutating func B.run(at: Int) throws(E) -> () [default: at]", "var B.size : Int { get }"])

    def test_a_type_of_another_module_tells_what_is_added(self):
        int_ = {"kind": "TypeDecl", "declKind": "Struct", "name": "Int", "mangledName": "Swift.Int",
                "isExternal": True, "children": [], "conformances": [
                    {"printedName": "TokenID", "usr": "s:1M7TokenIDP"}, {"printedName": "Hashable", "usr": "s:SH"}]}
        self.assertEqual(self.lines(int_), ["extension Int: TokenID"])
        with self.assertRaises(environment.Failure):
            self.lines({**int_, "conformances": []})


if __name__ == "__main__":
    unittest.main()
