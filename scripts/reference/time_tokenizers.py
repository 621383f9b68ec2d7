#!/usr/bin/env python3
"""Times EmbedData's tokenizer against gigatoken's and tiktoken's, in turns, on texts of several kinds.

    scripts/setup-data && swift build -c release --product TokenizerPeer
    scripts/reference/time_tokenizers.py [--rounds N] [--threads N] [--texts plays Chinese]

The texts: Shakespeare's plays; this Python's standard library; and from Django 5.2's translations what
is Chinese, what is Japanese, and all catalogues as they are. All three have GPT-2's vocabulary and read
the bytes from memory (tiktoken a string), and their ids must be the same. Cold is the first text that a
tokenizer sees, warm the same text again. Each round gives every library its turn at each text, but for
tiktoken, slowest by far, which has one turn; figures are medians of MB/s over the rounds, and of ratios
within a round. With --cpu, seconds are the thread's own where there is one thread, which other processes
disturb less.
"""

import argparse
import base64
import gettext
import io
import pathlib
import re
import statistics
import sys
import sysconfig
import tempfile
import time
import zipfile

import compare_tiktoken
import tokenizer_reference as ref

ref.REQUIREMENTS.append("gigatoken==0.10.0")


def texts():
    compare_tiktoken.translations()
    wheel = next((ref.CACHE / "reference" / "django").glob("*.whl"))
    spoken = {"Chinese": ("zh_Hans", "zh_Hant"), "Japanese": ("ja",)}
    found = {"plays": (ref.CACHE / "shakespeare" / "shakespeare.txt").read_bytes()}
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    sources = sorted(p for p in library.rglob("*.py") if "site-packages" not in p.parts)
    code = b"".join(path.read_bytes() for path in sources)
    found["Python"] = code.decode(errors="replace").encode()
    parts, mixed = {name: [] for name in spoken}, []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            match = re.search(r"locale/([^/]+)/LC_MESSAGES/.*\.(po|mo)$", name)
            if match and match[2] == "po":
                mixed.append(archive.read(name))
            for title, languages in spoken.items():
                if match and match[2] == "mo" and match[1] in languages:
                    catalogue = gettext.GNUTranslations(io.BytesIO(archive.read(name)))
                    parts[title] += [text for key, text in catalogue._catalog.items() if key]
    for title, lines in parts.items():
        found[title] = "\n".join(lines).encode()
    return found | {"mixed": b"".join(mixed)}


class Gigatoken:
    def __init__(self, ranks, folder):
        self.path = folder / "gpt2.tiktoken"
        self.path.write_text("".join(
            f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))

    def times(self, data, folder, threads, clock):
        import gigatoken

        tokenizer = gigatoken.Tokenizer.from_tiktoken(self.path, "gpt2", {})

        def encode():
            if threads == 1:
                return tokenizer.encode(data)
            return tokenizer.encode_batch([data], parallel=True)[0]

        return timed(encode, clock)


class Tiktoken:
    def __init__(self, ranks):
        self.encoding = ref.encoding("gpt2", ranks, {})

    def times(self, data, folder, threads, clock):
        text = data.decode()
        return timed(lambda: self.encoding.encode_to_numpy(text, disallowed_special=()), clock, 1)


class EmbedData(compare_tiktoken.Peer):
    def times(self, data, folder, threads, clock):
        import numpy

        source, target = folder / "text", folder / "ids.bin"
        source.write_bytes(data)
        kind = "cpu" if clock is time.thread_time else "wall"
        self.process.stdin.write(f"{source}\t{target}\t{threads}\t{kind}\n")
        self.process.stdin.flush()
        _, warm, cold = self.process.stdout.readline().split("\t")
        return float(cold), float(warm), numpy.fromfile(target, dtype="<u4")


def timed(encode, clock, repeats=5):
    """(cold, warm, ids)"""
    start = clock()
    ids = encode()
    cold = clock() - start
    warm = float("inf")
    for _ in range(repeats):
        start = clock()
        encode()
        warm = min(warm, clock() - start)
    return cold, warm, ids


def main():
    import numpy

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts", nargs="+", metavar="TITLE", help="all by default")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    clock = time.thread_time if options.cpu and options.threads == 1 else time.perf_counter
    gpt2 = ref.CACHE / "gpt2"
    ranks = ref.ranks_from_merges(gpt2 / "vocab.bpe")
    failed = False
    print(f"{options.threads} thread(s), {options.rounds} rounds; MB/s cold and warm, and EmbedData's "
          "ratio to each")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        libraries = {
            "EmbedData": EmbedData([gpt2 / "encoder.json", gpt2 / "vocab.bpe"]),
            "gigatoken": Gigatoken(ranks, folder), "tiktoken": Tiktoken(ranks),
        }
        chosen = texts()
        for title in options.texts or []:
            if title not in chosen:
                parser.error(f"no text '{title}': {', '.join(chosen)}")
        for title in options.texts or chosen:
            data = chosen[title]
            times = {library: [] for library in libraries}
            ids = {}
            for turn in range(options.rounds):
                for library, tokenizer in libraries.items():
                    if turn > 0 and library == "tiktoken":
                        continue
                    cold, warm, found = tokenizer.times(data, folder, options.threads, clock)
                    times[library].append((cold, warm))
                    ids[library] = numpy.asarray(found, dtype=numpy.uint32)
            for library, found in ids.items():
                if not numpy.array_equal(found, ids["tiktoken"]):
                    failed = True
                    print(f"{title}: {library}'s ids are not tiktoken's")
            print(f"{title}, {len(data) / 1e6:.2f} MB", flush=True)
            for library, pairs in times.items():
                rates = [len(data) / 1e6 / statistics.median(column) for column in zip(*pairs)]
                ratios = [
                    statistics.median(theirs[i] / ours[i] for theirs, ours in zip(pairs, times["EmbedData"]))
                    for i in range(2)
                ]
                print(f"  {library:10} cold {rates[0]:7.1f}  warm {rates[1]:7.1f}   "
                      f"{ratios[0]:6.2f} x  {ratios[1]:6.2f} x")
    return 1 if failed else 0


if __name__ == "__main__":
    ref.enter_environment()
    sys.exit(main())
