#!/usr/bin/env python3
"""Writes a C program that calls each function of embedkernel.h with nothing, with negative and with huge numbers:
each must come back, with an error wherever something was asked for.

    Tests/C/wrong_calls.py HEADER > wrong_calls.c
"""

import pathlib
import re
import sys

# What may be right without any argument.
WELL = {"ek_set_threads", "ek_buffer_give_back", "ek_buffers_set_limit", "ek_buffers_empty"}
NUMBERS = {"none": ("0", "0"), "one": ("1", "1"), "negative": ("-1", "-1"), "huge": ("INT64_MAX", "1")}


def arguments(text):
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip() != "void"]


def main():
    header = re.sub(r"/\*.*?\*/", "", pathlib.Path(sys.argv[1]).read_text(), flags=re.S)
    print('#include <embedkernel.h>\n#include <stdio.h>\nint main(void) {\n  int faults = 0;')
    print("  static char room[4096];\n  (void)room;")
    for result, name, text in re.findall(r"^(\w[\w *]*?)\b(ek_\w+)\(([^;]*?)\);", header, flags=re.M | re.S):
        given = arguments(" ".join(text.split()))
        for kind, (wide, narrow) in NUMBERS.items():
            for pointer in ("NULL", "(void *)room"):
                if pointer != "NULL" and (kind != "one" or re.search("write|save|convert", name)):
                    continue
                values = [
                    ("NULL" if "(" in part else pointer) if "*" in part
                    else wide if re.search("int64_t|size_t", part) else narrow for part in given]
                call = f"{name}({', '.join(values)})"
                if result.strip() != "int32_t":
                    print(f"  (void){call};" if result.strip() != "void" else f"  {call};")
                elif pointer != "NULL" or name in WELL or name == "ek_convert" or not given:
                    # What is in the room may be right by chance; that it comes back is all that is asked.
                    print(f"  (void){call};")
                elif name not in ("ek_threads", "ek_cpu_count", "ek_abi_version"):
                    print(
                        f'  if ({call} == EK_OK) faults++, fprintf(stderr, "%s\\n", '
                        f'"{name} with {kind} is well");')
    print('  if (faults == 0) printf("wrong calls: well\\n");\n  return faults;\n}')


if __name__ == "__main__":
    main()
