"""`python -m embedkernel`: the command."""

import os
import pathlib
import sys


def main() -> None:
    command = pathlib.Path(__file__).parent / "bin" / "embedkernel"
    if not command.exists():
        sys.exit(f"embedkernel: this package was built without its command, {command}")
    os.execv(command, ["embedkernel", *sys.argv[1:]])


if __name__ == "__main__":
    main()
