"""What the tokenizer's reference scripts share: tiktoken in a virtual environment of its own, an
encoding built from local files without any hub, and the treatment of bytes that are not UTF-8."""

import base64
import json
import os
import pathlib
import subprocess
import sys

REQUIREMENTS = ["tiktoken==0.14.0", "regex==2026.11.19", "numpy==2.4.6"]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "embedkernel"

# As published in GPT-2's encoder.py.
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def enter_environment():
    """Runs the calling script again in a virtual environment with the pinned packages."""
    home = CACHE / "reference" / "-".join(REQUIREMENTS).replace("==", "-")
    python = home / "bin" / "python"
    if pathlib.Path(sys.prefix) == home:
        return
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        (home / "complete").touch()
    os.execv(python, [str(python), *sys.argv])


def byte_characters():
    """GPT-2's printable character for each byte, in the order of its ids."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}


def ranks_from_merges(path):
    """tiktoken's ranks for a `vocab.bpe`: the bytes, then each merge's result."""
    characters = byte_characters()
    back = {c: b for b, c in characters.items()}
    ranks = {bytes([b]): i for i, b in enumerate(characters)}
    for line in path.read_text(encoding="utf-8").split("\n")[1:]:
        if line:
            ranks[bytes(back[c] for c in line if c != " ")] = len(ranks)
    return ranks


def ranks_from_file(path):
    """The ranks of a file in tiktoken's form."""
    lines = [line.split() for line in path.read_bytes().splitlines() if line]
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def encoding(name, ranks, special):
    import tiktoken

    return tiktoken.Encoding(name, pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)


def encode_bytes(reference, data):
    """The ids of any bytes: text where they are UTF-8, and each longest run of bytes that begin no
    well-formed character as one piece."""
    ids, rest, run = [], data, b""
    while rest:
        try:
            text, bad, after = rest.decode(), b"", b""
        except UnicodeDecodeError as error:
            text = rest[: error.start].decode()
            bad, after = rest[error.start : error.start + 1], rest[error.start + 1 :]
        if text:
            if run:
                ids += reference._encode_single_piece(run)
                run = b""
            ids += reference.encode_ordinary(text)
        run, rest = run + bad, after
    return ids + (reference._encode_single_piece(run) if run else [])


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, indent=1) + "\n")
