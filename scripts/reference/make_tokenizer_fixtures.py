#!/usr/bin/env python3
"""Makes the tokenizer's fixtures in Tests/EmbedDataTests/Fixtures, with tiktoken as the reference.

    scripts/setup-data && scripts/reference/make_tokenizer_fixtures.py

small.encoder.json, small.vocab.bpe and small.tiktoken are one little vocabulary in the three
published forms, trained here on the texts below. tokenizer.json holds the texts and their ids in
that vocabulary and in GPT-2's. Nothing is random, so the files come out the same every time.
"""

import base64
import collections
import json
import pathlib
import platform
import unicodedata

import tokenizer_reference as ref

MERGES = 400
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "EmbedDataTests" / "Fixtures"

TEXTS = {
    "empty": "",
    "english": "The cat sat on the mat. On the mat the cat sat, and that was that.",
    "contractions": "I'll say it's what they're sure we've done; I'm told he'd can't. 'S 'LL 'tis o'clock '' 's",
    "curly apostrophe": "it\u2019s they\u2019re",
    "latin": "Où est passé l'été ? Straße, señor, København, žluťoučký kůň, İstanbul ığdır.",
    "cyrillic": "Кошка сидела на коврике, а потом ушла. Їжак і ґава.",
    "greek": "Η γάτα κάθισε στο χαλί· μετά έφυγε. ἄνθρωπος",
    "arabic": "جلست القطة على السجادة، ثم ذهبت بعيدًا. ١٢٣",
    "hebrew": "החתול ישב על השטיח. שָׁלוֹם",
    "devanagari": "बिल्ली चटाई पर बैठी थी। १२३४",
    "thai": "แมวนั่งอยู่บนเสื่อ ๑๒๓",
    "chinese": "猫坐在垫子上。今天天气很好，我们去公园吧！",
    "japanese": "ネコがマットの上に座っていました。１２３\u3000全角",
    "korean": "고양이가 매트 위에 앉아 있었다. 안녕하세요",
    "conjoining hangul": unicodedata.normalize("NFD", "고양이"),
    "georgian and armenian": "კატა ხალიჩაზე იჯდა. Կատուն նստած էր։",
    "emoji": "👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷🇯🇵 1️⃣ ☺️ ok👍ok",
    "combining marks": unicodedata.normalize("NFD", "Où žluť Å é") + " e\u0301\u0323x a\u20dd",
    "spaces": " a  b   c    d     ",
    "newlines": "\n\na\n\n\nb\r\nc\r\r\nd \n e\n ",
    "tabs": "\tif x:\n\t\treturn\t1  \n",
    "vertical": "a\x0b\x0cb \x0b c\x1c\x1d\x1e\x1fd",
    "no-break and wide spaces": "a\u00a0b\u00a0\u00a0c \u00a0d\u202fe\u2003\u2003f\u3000g\u1680h",
    "next line and separators": "a\u0085b\u2028c\u2029\u2029d\u205fe",
    "no spaces to unicode": "a\u180eb\u180e\u180e c\u200bd\ufeffe\u2060f \u180e",
    "digits": "0 12 345 6789 ٠١٢ ०१२ ๐๑๒ ０１２ ⅷ ½ ² ① 〇 五",
    "mixed classes": "a1b2-c3_d4 x86_64 v1.2.3 3rd №5 H₂O x²",
    "code": "func f(_ x: Int) -> Int { return x &+ 1 } // 'd' \"quoted\"",
    "punctuation": "...!!! ?! —– «a» „b“ (c) [d] {e} <f> @g #h $1 %2 ^ & * ~ ` |",
    "one character": "a",
    "one space": " ",
    "special text": "a<|endoftext|>b <|endoftext|> <|endoftext|><|endoftext|>\n<|endoftext",
    "letters of unicode 15 and 16": "a\U00011f04b \U00031350\U00031351 \U0001e4d0 \ua7cb\u1c89",
    "numbers of unicode 15 and 16": "1\U00011f50 \U0001e4f0 \U00010d40",
    "unassigned and private": "a\U000e0100b\ue000c\u0378d\U0010ffff",
    "nul and controls": "a\x00b\x01\x02c\x7fd",
    "long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3,
    "long run": "ab" * 150 + "a" * 257,
    "long spaces": "x" + " " * 130 + "y" + "\n" * 67 + "z",
}

BYTES = {
    "lone continuation": b"a\x80b",
    "lone lead": b"a\xc3",
    "lead before ascii": b"\xe2\x82a \xf0\x9f\x98 b",
    "overlong": b"\xc0\x80\xe0\x80\x80\xf0\x80\x80\x80",
    "surrogates": b"x\xed\xa0\x80\xed\xb0\x80y",
    "over the last code point": b"\xf4\x90\x80\x80 \xf5\xff\xfe",
    "latin-1": "où l'été passé".encode("latin-1"),
    "koi8-r": "кошка сидела".encode("koi8-r"),
    "shift-jis": "猫がいる".encode("shift-jis"),
    "utf-16": "cat \u732b".encode("utf-16-le"),
    "space before a bad byte": b"a  \xff  \xff\xffb \x80",
    "every byte": bytes(range(256)),
    "every byte backwards": bytes(reversed(range(256))),
}


def train(texts):
    """The merges of a plain byte-pair training: the commonest pair first, ties by bytes."""
    import regex

    words = collections.Counter(w.encode() for t in texts for w in regex.findall(ref.PATTERN, t))
    split = {w: [bytes([b]) for b in w] for w in words}
    merges = []
    while len(merges) < MERGES:
        pairs = collections.Counter()
        for word, parts in split.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        # Two ways to the same token would make one of them no token of its own.
        made = {a + b for a, b in merges}
        (a, b), _ = min(
            ((p, n) for p, n in pairs.items() if p[0] + p[1] not in made),
            key=lambda item: (-item[1], item[0]))
        merges.append((a, b))
        for word, parts in split.items():
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == (a, b):
                    parts[i : i + 2] = [a + b]
                i += 1
    return merges


def main():
    import tiktoken

    characters = ref.byte_characters()
    spell = lambda token: "".join(characters[b] for b in token)
    merges = train(TEXTS.values())
    small = {bytes([b]): i for i, b in enumerate(characters)}
    for a, b in merges:
        small[a + b] = len(small)
    special = {"<|endoftext|>": len(small)}
    FOLDER.mkdir(exist_ok=True)
    encoder = {spell(token): i for token, i in small.items()} | special
    (FOLDER / "small.encoder.json").write_text(json.dumps(encoder))
    lines = ["#version: 0.2"] + [f"{spell(a)} {spell(b)}" for a, b in merges]
    (FOLDER / "small.vocab.bpe").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ranks = [f"{base64.b64encode(token).decode()} {i}\n" for token, i in small.items()]
    (FOLDER / "small.tiktoken").write_text("".join(ranks))

    gpt2 = ref.encoding(
        "gpt2", ref.ranks_from_merges(ref.CACHE / "gpt2" / "vocab.bpe"), {"<|endoftext|>": 50256})
    tiny = ref.encoding("small", small, special)
    cases = []
    for name, data in [*((n, t.encode()) for n, t in TEXTS.items()), *BYTES.items()]:
        case = {"name": name, "base64": base64.b64encode(data).decode()}
        for key, encoding in (("small", tiny), ("gpt2", gpt2)):
            case[key] = ref.encode_bytes(encoding, data)
            assert encoding.decode_bytes(case[key]) == data
            if name in TEXTS:
                case[key + "_special"] = encoding.encode(data.decode(), allowed_special="all")
        cases.append(case)
    versions = {
        "tiktoken": tiktoken.__version__, "python": platform.python_version(),
        "unicode of python": unicodedata.unidata_version,
    }
    path = FOLDER / "tokenizer.json"
    rows = ",\n".join(json.dumps(c) for c in cases)
    path.write_text(
        f'{{"made_by": "scripts/reference/make_tokenizer_fixtures.py",\n"versions": '
        f'{json.dumps(versions)},\n"cases": [\n{rows}\n]}}\n')
    print(f"{len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    ref.enter_environment()
    main()
