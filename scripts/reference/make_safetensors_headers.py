#!/usr/bin/env python3
"""Writes what the reference library makes of safetensors headers, good and bad, for the tests.

    python scripts/reference/make_safetensors_headers.py

`headers.json` holds for each header, with as many data bytes, the tensors that the reference library
reads, or null where it refuses. `differs` marks the few where our reader is meant to differ:
`unknown` (a type that the reference does not know; ours lists it), `twice` (a name given twice, of
which the reference takes one), `form` (a list or object in place of an object or text). Beside it, two
files for the command's tests: a table beside four-bit floats, and a table without texts.
"""

import json
import random
import struct
from pathlib import Path

import safetensors

PATH = (
    Path(__file__).resolve().parents[2]
    / "Tests/EmbedFilesTests/Fixtures/safetensors-headers/headers.json"
)
KNOWN = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}
UNKNOWN = ["F8_E4M3FN", "F8_E3M4", "I4", "U2", "C128", "F128", "f32", "", "float32"]


def tensor(name: str, dtype: str, shape: str, offsets: str, more: str = "") -> str:
    return f'"{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{offsets}]{more}}}'


def by_hand() -> list[tuple[str, int]]:
    a = tensor("a", "F32", "2", "0,8")
    cases = [(f"{{{tensor('a', dtype, '2,4', f'0,{bits}')}}}", bits) for dtype, bits in KNOWN.items()]
    cases += [(f"{{{a},{tensor('b', dtype, '3', '8,11')}}}", 11) for dtype in UNKNOWN]
    cases += [(f"{{{tensor('a', 'F4', shape, f'0,{size}')}}}", size) for shape, size in
              [("3", 1), ("3", 2), ("2", 1), ("0", 0), ("1", 1), ("5,2", 5)]]
    cases += [(f"{{{tensor('a', 'F6_E2M3', shape, f'0,{size}')}}}", size) for shape, size in
              [("4", 3), ("2", 2), ("8", 6), ("5", 4)]]
    for meta in ["null", "{}", '{"k":"v"}', '{"k":1}', '{"k":null}', "[]", '"x"', "1", '{"k":{}}',
                 '{"k":"v","k":"w"}', "nul", "nullx", 'null,"__metadata__":null']:
        cases += [(f'{{"__metadata__":{meta},{a}}}', 8), (f'{{{a},"__metadata__":{meta}}}', 8)]
    for value in ["1", "-1.5e3", "null", "true", "false", '"s"', "[]", "{}", '{"x":[1,{"y":null}],"z":""}',
                  "[1,]", "[,]", "{,}", '{"x"}', '{"x":}', "NaN", "01", "1.", "-", ".5", "1e999", "1e-999",
                  "1" * 40, "tru", "'s'", '"\\q"', "[[]", "[]]", "{]", "[" * 125 + "]" * 125,
                  "[" * 126 + "]" * 126, '{"a":' * 125 + "1" + "}" * 125, "1 2", '"\\ud800"', "1e5", "1E+5",
                  "1e", "0", "-0", "0.0", "00", "+1", '"\t"', '[1 , 2 ,\n"x"]']:
        more = f',"kind":{value}'
        cases.append((f"{{{tensor('a', 'F32', '2', '0,8', more)}}}", 8))
    cases.append(("{" + tensor("a", "F32", "2", "0,8", ',"k":1,"k":2') + "}", 8))
    for key, value in [("dtype", '"F32"'), ("shape", "[2]"), ("data_offsets", "[0,8]")]:
        parts = {"dtype": '"F32"', "shape": "[2]", "data_offsets": "[0,8]"}
        text = ",".join(f'"{k}":{v}' for k, v in parts.items())
        cases.append((f'{{"a":{{{text},"{key}":{value}}}}}', 8))
        del parts[key]
        text = ",".join(f'"{k}":{v}' for k, v in parts.items())
        cases.append((f'{{"a":{{{text}}}}}', 8))
        for wrong in ["null", "1", "[]", "{}", '"x"', "[0,8,8]", "[-1]", "[2.0]", "[2e0]", "[02]", '["2"]',
                      "[-0,8]", "[0,8.0]", "[[2]]", "[9223372036854775808]", "[18446744073709551616]"]:
            cases.append((f'{{"a":{{{text},"{key}":{wrong}}}}}', 8))
    for other, data in [
        (tensor("b", "F32", "1", "12,16"), 16), (tensor("b", "F32", "2", "4,12"), 12),
        (tensor("b", "F32", "2", "0,8"), 8), (tensor("b", "F32", "2", "8,16"), 16),
        (tensor("b", "F32", "0,4", "8,8"), 8), (tensor("b", "F32", "0,4", "0,0"), 8),
        (tensor("b", "F32", "0,4", "4,4"), 8), (tensor("b", "F32", "0,4", "9,9"), 8),
        (tensor("b", "F32", "", "8,12"), 12), (tensor("b", "F32", "2", "16,8"), 16),
        (tensor("b", "F64", "4611686018427387904,2,0", "8,8"), 8), (tensor("b", "U8", "1" * 18 + ",0", "8,8"), 8),
        (tensor("b", "F32", "4294967296,4294967296", "8,8"), 8), (tensor("a", "F32", "2", "0,8"), 8),
        (tensor("", "U8", "1", "8,9"), 9), (tensor("\\u0000", "U8", "1", "8,9"), 9),
        (tensor("\\u0061", "F32", "2", "8,16"), 16), ('"x":1', 8), ('"x":null', 8), ('"x":[]', 8),
    ]:
        cases += [(f"{{{a},{other}}}", data), (f"{{{other},{a}}}", data)]
    for text in ["", " ", "{}", "[]", "null", "{", "}", "{}x", "{} \n\t\r", f" {{{a}}}", f"\n{{{a}}}", f"{{{a},}}",
                 f"{{{a}}}\0", f"{{,{a}}}", f"{{{a}", f"{{{a}}}}}", '{"a"}', '{"a":}', "{'a':1}", '{"a']:
        cases += [(text, 0), (text, 8)]
    cases += [(f"{{{a}}}", size) for size in [0, 7, 9]]
    return cases


def mutants(base: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """Edits of good headers at places where a character has a meaning."""
    source = random.Random(7)
    telling = '{}[]":,0123456789FBUIE_ \\nulteas-.'
    results = []
    while len(results) < count:
        text, data = source.choice(base)
        characters = list(text)
        for _ in range(source.choice([1, 1, 1, 2, 3])):
            place = source.randrange(len(characters))
            edit = source.randrange(4)
            if edit == 0:
                characters[place] = source.choice(telling)
            elif edit == 1:
                characters.insert(place, source.choice(telling))
            elif edit == 2 and len(characters) > 1:
                del characters[place]
            else:
                other = source.randrange(len(characters))
                characters[place], characters[other] = characters[other], characters[place]
        results.append(("".join(characters), data))
    return results


def verdict(text: str, data: int) -> dict:
    header = text.encode()
    file = len(header).to_bytes(8, "little") + header + bytes(data)
    case = {"header": text, "data": data}
    try:
        read = safetensors.deserialize(file)
        case["tensors"] = sorted([name, info["dtype"], info["shape"]] for name, info in read)
    except safetensors.SafetensorError as error:
        case["tensors"] = None
        if "unknown variant" in str(error):
            case["differs"] = "unknown"
    if case["tensors"] is not None:
        pairs = []
        json.loads(text, object_pairs_hook=lambda found: pairs.append(found) or dict(found))
        root = json.loads(text)
        names = [[key for key, _ in found] for found in pairs]
        tops = names[-1], *[
            [key for key, _ in found] for found in pairs[:-1]
            if dict(found) == root.get("__metadata__")]
        if any(len(set(keys)) < len(keys) for keys in tops):
            case["differs"] = "twice"
        elif any(
            not isinstance(value, dict) or not isinstance(value.get("dtype"), str)
            for key, value in root.items() if key != "__metadata__"
        ):
            case["differs"] = "form"
    return case


def tables() -> None:
    """Element i of the table is i, as a float."""
    table = struct.pack("<20f", *range(20))
    name = "model.embed_tokens.weight"
    for file, header, data in [
        ("four-bits", f"{{{tensor(name, 'F32', '5,4', '0,80')},{tensor('x.q', 'F4', '2,8', '80,88')}}}",
         table + bytes(8)),
        ("null-texts", f'{{"__metadata__": null, {tensor(name, "F32", "5,4", "0,80")}}}', table),
    ]:
        contents = len(header).to_bytes(8, "little") + header.encode() + data
        (PATH.parent / f"{file}.safetensors").write_bytes(contents)
        assert name in dict(safetensors.deserialize(contents))


def main() -> None:
    PATH.parent.mkdir(parents=True, exist_ok=True)
    cases = by_hand()
    good = [case for case in cases if verdict(*case)["tensors"] and "\n" not in case[0] and len(case[0]) < 200]
    cases += mutants(good, 260)
    verdicts = [verdict(*case) for case in cases]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in verdicts)
    PATH.write_text(f'{{"madeBy":"safetensors {safetensors.__version__}","cases":[\n{lines}\n]}}\n')
    tables()
    taken = sum(case["tensors"] is not None for case in verdicts)
    print(f"{len(verdicts)} headers, {taken} read, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
