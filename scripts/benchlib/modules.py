"""The package's modules as the toolchain's readers of modules want them: names, build and search paths."""

import json
import pathlib
import subprocess

from benchlib import environment

ROOT = pathlib.Path(__file__).resolve().parents[2]


def output(command, text=None, where="run"):
    """What a command prints; a Failure with its first error where it fails."""
    result = subprocess.run(
        [str(word) for word in command], input=text, capture_output=True, text=True, cwd=ROOT)
    if result.returncode != 0:
        told = (result.stderr.strip() or result.stdout.strip()).splitlines()
        errors = [line for line in told if "error:" in line] or told[-1:] or ["failed"]
        raise environment.Failure(f"{where}: {errors[0]}")
    return result.stdout


def described():
    """The package as `swift package describe` tells it."""
    return json.loads(output(["swift", "package", "--package-path", ROOT, "describe", "--type", "json"]))


def libraries(package):
    """The names of the library products' modules."""
    return sorted({
        target for product in package["products"] if "library" in product["type"]
        for target in product["targets"]})


def in_order(names, package):
    """Modules, each after those of them that it builds on."""
    needs = {target["name"]: target.get("target_dependencies", []) for target in package["targets"]}
    found = []

    def add(name):
        for other in needs.get(name, []):
            add(other)
        if name in names and name not in found:
            found.append(name)

    for name in sorted(names):
        add(name)
    return found


def built():
    """The folder of a debug build, which is made first."""
    environment.run(["swift", "build", "--package-path", ROOT], "the package does not build")
    return pathlib.Path(output(["swift", "build", "--package-path", ROOT, "--show-bin-path"]).strip())


def search_paths(package, build):
    """Where modules and module maps are, as arguments of the compiler's tools."""
    paths = [build / "Modules"]
    for target in package["targets"]:
        if target["module_type"] == "SystemLibraryTarget":
            paths.append(ROOT / target["path"])
        elif target["module_type"] == "ClangTarget":
            own = ROOT / target["path"] / "include" / "module.modulemap"
            paths.append(own.parent if own.exists() else build / f"{target['name']}.build")
    return [word for path in paths for word in ("-I", path)]


def triple():
    return json.loads(output(["swift", "-print-target-info"]))["target"]["triple"]
