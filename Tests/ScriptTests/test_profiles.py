"""What callgrind's files of a base and a head say of functions and lines. The files in Samples/callgrind
were recorded of the sources beside them, the lines of their addresses by llvm-symbolizer."""

import contextlib
import dataclasses
import io
import pathlib
import tempfile
import unittest
from unittest import mock

from benchlib import environment, profiles

SAMPLES = pathlib.Path(__file__).resolve().with_name("Samples") / "callgrind"
NAME = "sum/N64/threads:1"


def recorded(program, addresses):
    folder = profiles.root(program)
    return (folder / "lines.jsonl").read_text().replace('"@/', f'"{folder}/')


def profile(side):
    return profiles.read(SAMPLES / side / "counts.1", "/benchmarks", SAMPLES / side / ".build" / "x")


class Profiles(unittest.TestCase):
    def changes(self):
        with mock.patch.object(profiles, "symbolized", recorded):
            return profiles.changes(profile("base")[1], profile("head")[1])

    def test_reads_the_instructions_of_a_function_itself(self):
        name, found = profile("head")
        self.assertEqual(name, NAME)
        own = {function: sum(costs.values()) for function, costs in found.functions.items()}
        # Of 96 elements and two calls; what `kernel` calls is not its own.
        self.assertEqual(own, {"scale": 2, "sum": 1550, "kernel": 19, "main": 16})
        self.assertEqual(found.counts["instructions"], 1587)

    def test_names_the_functions_and_lines_that_changed(self):
        found = self.changes()
        self.assertEqual(
            [(row["name"], row["base"], row["head"]) for row in found["functions"]],
            [("sum", 398, 1550), ("scale", 0, 2), ("kernel", 18, 19)])
        lines = found["functions"][0]["lines"]
        self.assertEqual(
            [(row["file"], row["line"], row["text"]) for row in lines],
            [("kernel.c", 7, "float value = row[i] * (i % 3);"), ("kernel.c", 6, "for (int i = 0; i < n; i++) {"),
             ("kernel.c", 11, "}")])
        self.assertEqual([(row["base"], row["head"]) for row in lines], [(0, 1152), (300, 296), (0, 4)])

    def test_a_function_whose_symbol_changed_is_one(self):
        """As in Swift, where the types of arguments are part of it."""
        base, head = profile("base")[1], profile("head")[1]
        functions = {"$s1": head.functions["sum"], "$s2": {None: 5}, "main": head.functions["main"]}
        head = dataclasses.replace(head, functions=functions)
        with (mock.patch.object(profiles, "symbolized", lambda program, addresses: ""),
              mock.patch.object(profiles, "readable", lambda names: {n: "sum" if "$" in n else n for n in names})):
            found = profiles.changes(base, head)
        rows = [(row["name"], row["base"], row["head"]) for row in found["functions"]]
        self.assertEqual(rows, [("sum", 398, 1555), ("kernel", 18, 0)])

    def test_renamed_functions_are_no_change(self):
        before, after = {"a": 7, "b": 7, "c": 9, "d": 1}, {"x": 7, "y": 8, "z": 9, "d": 1}
        self.assertEqual(profiles.renamed(before, after), {"a", "x", "c", "z"})

    def test_a_line_that_moved_is_the_same_line(self):
        with mock.patch.object(profiles, "symbolized", recorded):
            before, after = (profiles.lines(profile(side)[1], "sum") for side in ("base", "head"))
        line = "kernel.c", "total += value;"
        self.assertEqual((before[line], after[line]), ((6, 96), (8, 96)))

    def test_without_a_symbolizer_functions_are_told(self):
        with mock.patch.object(profiles, "symbolized", lambda program, addresses: ""):
            found = profiles.changes(profile("base")[1], profile("head")[1])
        self.assertEqual([row["name"] for row in found["functions"]], ["sum", "scale", "kernel"])
        self.assertEqual([row["lines"] for row in found["functions"]], [[], [], []])

    def test_markdown(self):
        text = "\n".join(profiles.markdown({NAME: self.changes()}))
        self.assertIn(f"**{NAME}**: 432 -> 1,587 instructions a call, +1,155 (+267.4%)", text)
        self.assertIn("| `sum` | 398 | 1,550 | +1,152 (+289.4%) |", text)
        self.assertIn("kernel.c:7 `float value = row[i] * (i % 3);` | 0 | 1,152 | +1,152 |", text)
        same = profile("base")[1]
        text = "\n".join(profiles.markdown({NAME: profiles.changes(same, same)}))
        self.assertIn("+0 (+0.0%); no function takes more: look at memory", text)
        self.assertNotIn("|", text)
        two = "\n".join(profiles.markdown({"sum/N64/threads:2": profiles.changes(same, same)}))
        self.assertIn("clock (of all threads, without what waits)", two)

    def test_the_innermost_frame_of_the_package_is_told(self):
        frames = [{"FileName": "/usr/include/avx.h", "Line": 9}, {"FileName": "/p/a.c", "Line": 3},
                  {"FileName": "/p/b.c", "Line": 7}]
        self.assertEqual(profiles.chosen(frames, pathlib.Path("/p")), (pathlib.Path("/p/a.c"), 3))
        self.assertEqual(profiles.chosen(frames[:1], pathlib.Path("/p")), (pathlib.Path("/usr/include/avx.h"), 9))
        self.assertIsNone(profiles.chosen([{"FileName": "", "Line": 0}], None))

    def test_what_waits_is_left_out_of_several_threads(self):
        """So that a profile adds up to the counts, of which waiting is no part."""
        text = (SAMPLES / "head" / "counts.1").read_text()
        self.assertIn("fn=kernel\n", text)
        text = text.replace("threads:1", "threads:2").replace("fn=kernel\n", "fn=ek_pool_release\n")
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "counts.1"
            file.write_text(text)
            name, found = profiles.read(file, "/benchmarks", file)
        self.assertEqual(name, "sum/N64/threads:2")
        own = {function: sum(costs.values()) for function, costs in found.functions.items()}
        self.assertEqual(own, {"scale": 2, "sum": 1550, "main": 16})
        self.assertEqual(found.counts["instructions"], 1587 - 19)

    def test_files_that_do_not_add_up_are_refused(self):
        text = (SAMPLES / "head" / "counts.1").read_text()
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "counts.1"
            for changed, message in (
                (text.replace("0x116a 0 94", "0x116a 0 93"), "functions do not make up"),
                (text.replace("instr line", "line"), "counts by 'line'"),
                ("", "no file of callgrind's"),
            ):
                file.write_text(changed)
                with self.assertRaisesRegex(environment.Failure, message):
                    profiles.read(file, "/benchmarks", file)

    def test_names_are_told_as_registered_and_misses_by_name(self):
        """The harness's names lack the clock; what callgrind did not count is told."""
        made = {side: {NAME: profile(side)[1]} for side in ("base", "head")}
        with (mock.patch.object(profiles, "record", lambda program, names: made[program]),
              mock.patch.object(profiles, "symbolized", recorded),
              contextlib.redirect_stderr(io.StringIO()) as told):
            found = profiles.explain("base", "head", [f"{NAME}/real_time", "other"])
        self.assertEqual(list(found), [f"{NAME}/real_time"])
        self.assertIn("other: callgrind counted none", told.getvalue())

        def fails(program, names):
            raise environment.Failure("no valgrind")

        with mock.patch.object(profiles, "record", fails), contextlib.redirect_stderr(io.StringIO()) as told:
            self.assertEqual(profiles.explain("base", "head", [NAME]), {})
        self.assertIn("no instructions by function: no valgrind", told.getvalue())


if __name__ == "__main__":
    unittest.main()
