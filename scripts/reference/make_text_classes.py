#!/usr/bin/env python3
"""Writes Sources/CTokenizer/classes.inc: the class of each code point in GPT-2's text pattern.

    scripts/reference/make_text_classes.py

Asks PCRE2 (Debian's libpcre2-8) for the letters and numbers that it knows, and adds those of later
Unicode versions that UnicodeAdditions.swift names. A test holds every code point of the table against
the pattern as EmbedData gives it to PCRE2.
"""

import ctypes
import ctypes.util
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
ADDITIONS = ROOT / "Sources" / "EmbedData" / "BytePairs" / "UnicodeAdditions.swift"
TARGET = ROOT / "Sources" / "CTokenizer" / "classes.inc"
OTHER, LETTER, NUMBER, SPACE = range(4)
SPACES = r"\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
BLOCK = 128


def additions(name):
    text = ADDITIONS.read_text()
    body = text[text.index(f"let {name} ="):].split("\n\n")[0].split("///")[0]
    return "".join(re.findall(r'#"(.*?)"#', body))


def members(pcre2, pattern, subject):
    """The code points of `subject`, UTF-8 of all of them in order, that match."""
    number, offset = ctypes.c_int(), ctypes.c_size_t()
    utf, ucp = 0x00080000, 0x00020000
    text = pattern.encode()
    code = pcre2.pcre2_compile_8(
        text, len(text), utf | ucp, ctypes.byref(number), ctypes.byref(offset), None)
    if not code:
        raise SystemExit(f"PCRE2 refuses {pattern}: {number.value} at {offset.value}")
    pcre2.pcre2_jit_compile_8(code, 1)
    data = pcre2.pcre2_match_data_create_8(1, None)
    bounds = pcre2.pcre2_get_ovector_pointer_8(data)
    found, position = [], 0
    while pcre2.pcre2_match_8(code, subject, len(subject), position, 0x40000000, data, None) > 0:
        found += map(ord, subject[bounds[0] : bounds[1]].decode())
        position = bounds[1]
    return found


def main():
    pcre2 = ctypes.CDLL(ctypes.util.find_library("pcre2-8"))
    for name, result in (
        ("pcre2_compile_8", ctypes.c_void_p), ("pcre2_match_data_create_8", ctypes.c_void_p),
        ("pcre2_get_ovector_pointer_8", ctypes.POINTER(ctypes.c_size_t)),
    ):
        getattr(pcre2, name).restype = result
    size = ctypes.c_size_t
    pcre2.pcre2_compile_8.argtypes = [
        ctypes.c_char_p, size, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    pcre2.pcre2_jit_compile_8.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    pcre2.pcre2_match_data_create_8.argtypes = [ctypes.c_uint32, ctypes.c_void_p]
    pcre2.pcre2_get_ovector_pointer_8.argtypes = [ctypes.c_void_p]
    pcre2.pcre2_match_8.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, size, size, ctypes.c_uint32, ctypes.c_void_p,
        ctypes.c_void_p]

    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    subject = "".join(map(chr, points)).encode()
    classes = bytearray(0x110000)
    for kind, pattern in (
        (LETTER, rf"[\p{{L}}{additions('letters')}]++"),
        (NUMBER, rf"[\p{{N}}{additions('numbers')}]++"), (SPACE, f"[{SPACES}]++"),
    ):
        for point in members(pcre2, pattern, subject):
            assert classes[point] == OTHER
            classes[point] = kind
    end = max(c for c in points if classes[c] != OTHER) + 1
    end = -(-end // BLOCK) * BLOCK
    blocks, index = {}, []
    for start in range(0, end, BLOCK):
        block = tuple(
            sum(classes[at + i] << 2 * i for i in range(32))
            for at in range(start, start + BLOCK, 32))
        index.append(blocks.setdefault(block, len(blocks)))
    assert len(blocks) <= 256
    lines = [
        "// Made by scripts/reference/make_text_classes.py: the class of each code point, 2 bits each,",
        "// in blocks of 128 of which equal ones are kept once. Code points from `CLASS_END` on are OTHER.",
        f"enum {{ CLASS_END = 0x{end:X} }};",
        f"static const uint8_t class_index[{len(index)}] = {{",
    ]
    lines += rows([str(i) for i in index])
    lines += ["};", f"static const uint64_t class_blocks[{len(blocks)}][4] = {{"]
    lines += rows(["{" + ", ".join(f"0x{word:X}" for word in block) + "}" for block in blocks])
    TARGET.write_text("\n".join([*lines, "};", ""]))
    print(f"{TARGET.relative_to(ROOT)}: {len(index)} blocks, {len(blocks)} of them different")


def rows(items, width=108):
    line = " "
    for item in items:
        if len(line) + len(item) + 2 > width:
            yield line
            line = " "
        line += f" {item},"
    yield line


if __name__ == "__main__":
    main()
