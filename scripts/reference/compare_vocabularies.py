#!/usr/bin/env python3
"""Compares EmbedData's ids with tiktoken's and tokenizers' on random vocabularies of odd shapes.

    swift build && scripts/reference/compare_vocabularies.py [--count N] [--seed N] [--peer FILE]

Vocabularies have random merges over a few letters; ids that leave gaps, near or far, in any order;
sometimes no token for some byte, an empty token, a byte-order mark or other ends of lines. A rank file
is held against tiktoken, a pair of vocab.json and merges.txt against tokenizers. Texts are random
strings over the same letters, spaces, digits and signs, some of them long runs. Where the reference
fails at a byte without a token, EmbedData must fail too, naming the byte.
"""

import argparse
import base64
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import tokenizer_reference as ref

ref.REQUIREMENTS.append("tokenizers==0.23.3")
ROOT = pathlib.Path(__file__).resolve().parents[2]
LETTERS = ["a", "b", "c", "é", "猫", "'", "1", " ", "s", "\n", "ж"]


class Peer:
    """The Swift side, for one vocabulary."""

    def __init__(self, binary, path):
        self.process = subprocess.Popen(
            [binary, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.ready = self.process.stdout.readline()

    def ids(self, text, folder):
        """The ids, or what is wrong with the text."""
        source, target = folder / "text", folder / "ids"
        source.write_bytes(text.encode())
        self.process.stdin.write(f"{source}\t{target}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer.startswith("error"):
            return answer
        data = target.read_bytes()
        return list(struct.unpack(f"<{len(data) // 4}I", data))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        return self.process.stderr.read()


def random_merges(draw):
    """Pairs of byte strings, each of bytes or of earlier results."""
    parts = [letter.encode() for letter in LETTERS]
    parts = [bytes([b]) for part in parts for b in part]
    known, merges = set(parts) | {bytes([b]) for b in range(256)}, []
    for _ in range(draw.choice([0, 3, 20, 80])):
        left, right = draw.choice(parts), draw.choice(parts)
        if left + right not in known and len(left + right) < 60:
            known.add(left + right)
            parts.append(left + right)
            merges.append((left, right))
    return merges


def random_ids(draw, count):
    """Distinct ids with gaps of one, two, many, or with one far away."""
    ids, next_id = [], draw.choice([0, 0, 5])
    gap = draw.choice([0, 0.01, 0.3])
    for _ in range(count):
        ids.append(next_id)
        next_id += 1 + (draw.choice([1, 2, 1000]) if draw.random() < gap else 0)
    if draw.random() < 0.2:
        ids[-1] = 1_000_000_000 + next_id
    if draw.random() < 0.5:
        draw.shuffle(ids)
    return ids


def random_text(draw):
    shape = draw.randrange(4)
    if shape == 0:
        return draw.choice(LETTERS) * draw.randrange(1, 3000)
    if shape == 1:
        return "".join(draw.choice(LETTERS[:3]) for _ in range(draw.randrange(1, 2000)))
    return "".join(draw.choice(LETTERS) for _ in range(draw.randrange(0, 200)))


def dressed(draw, text):
    data = text.replace("\n", draw.choice(["\n", "\r\n"])).encode()
    return (b"\xef\xbb\xbf" if draw.random() < 0.3 else b"") + data


def rank_file(draw, path):
    """A rank file and tiktoken's encoding of it."""
    tokens = [bytes([b]) for b in range(256)]
    if draw.random() < 0.3:
        tokens = [t for t in tokens if t not in (b"b", b"\xc3", b" ")]
    tokens += [left + right for left, right in random_merges(draw)]
    if draw.random() < 0.2:
        tokens.append(b"")
    ranks = dict(zip(tokens, random_ids(draw, len(tokens))))
    lines = "".join(f"{base64.b64encode(t).decode() or '='} {i}\n" for t, i in ranks.items())
    path.write_bytes(dressed(draw, lines))
    return ref.encoding("random", ranks, {}).encode_ordinary


def pair(draw, folder):
    """vocab.json and merges.txt, and tokenizers' encoding of them."""
    import tokenizers

    characters = ref.byte_characters()
    spell = lambda token: "".join(characters[b] for b in token)
    merges = random_merges(draw)
    tokens = [bytes([b]) for b in range(256)] + [left + right for left, right in merges]
    vocabulary = {spell(t): i for t, i in zip(tokens, random_ids(draw, len(tokens)))}
    draw.shuffle(merges) if draw.random() < 0.3 else None
    merges = [(spell(left), spell(right)) for left, right in merges]
    text = json.dumps(vocabulary, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 1]))
    (folder / "vocab.json").write_bytes(dressed(draw, text))
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    (folder / "merges.txt").write_bytes(dressed(draw, draw.choice(["#version: 0.2\n", ""]) + lines))
    model = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda text: model.encode(text).ids


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", default=ROOT / ".build" / "debug" / "TokenizerPeer")
    arguments = parser.parse_args()
    equal, refused, wrong = 0, 0, 0
    # Where a byte has no token, tiktoken panics, at length.
    sys.stderr.flush()
    silent = os.open(os.devnull, os.O_WRONLY)
    loud = os.dup(2)
    for case in range(arguments.seed, arguments.seed + arguments.count):
        draw = random.Random(case)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            isRanks = draw.random() < 0.6
            path = folder / "odd.tiktoken"
            encode = rank_file(draw, path) if isRanks else pair(draw, folder)
            peer = Peer(arguments.peer, path if isRanks else folder)
            for _ in range(12):
                text = random_text(draw)
                try:
                    os.dup2(silent, 2)
                    expected = encode(text)
                except BaseException as error:
                    if "no entry found" not in str(error):
                        raise
                    expected = None
                finally:
                    os.dup2(loud, 2)
                found = peer.ids(text, folder) if peer.ready else "error: no vocabulary"
                if expected is None and isinstance(found, str) and "has no token for the byte" in found:
                    refused += 1
                elif found == expected:
                    equal += 1
                else:
                    wrong += 1
                    print(f"case {case}, {text[:60]!r}: {str(found)[:200]}, not {str(expected)[:200]}")
            if message := peer.close():
                print(f"case {case}: {message}")
    print(f"{equal} texts equal, {refused} refused for a byte without a token, {wrong} wrong")
    return 1 if wrong or not equal else 0


if __name__ == "__main__":
    ref.enter_environment()
    sys.exit(main())
