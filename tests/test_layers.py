"""Imports go down only, absolutely, through every package's door, and nothing imports the root."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# From the bottom to the top: a unit (a module or a package of ppocore/, backends/, envs/) may import those before it.
ORDER = (
    "errors typing files advantages normalize distributions spaces networks optimizers backend config registry "
    "envs presets policy evaluation training reporting runs export api backends testing cli __main__"
).split()


def sources():
    folders = {"ppocore": ROOT / "ppocore", "ppocore.backends": ROOT / "backends", "ppocore.envs": ROOT / "envs"}
    for package, folder in folders.items():
        for file in sorted(folder.rglob("*.py")):
            parts = [package, *file.relative_to(folder).with_suffix("").parts]
            yield ".".join(parts).removesuffix(".__init__"), file


@cache
def imports():
    """For each module, the modules of ppocore that it imports anywhere, and the line."""
    modules = dict(sources())
    found = {}
    for name, file in modules.items():
        found[name] = []
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno} imports relatively"
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [target if target in modules else node.module for target in targets]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                continue
            ours = {target for target in targets if target.partition(".")[0] == "ppocore"}
            found[name] += [(target, f"{file.relative_to(ROOT)}:{node.lineno}") for target in sorted(ours)]
    return found


def unit(module):
    return module.split(".")[1] if "." in module else ""


def test_every_unit_has_a_layer():
    assert {unit(module) for module in imports()} - {""} == set(ORDER)


def test_imports_go_down():
    up = [
        f"{place}: {unit(module)} imports {unit(target)}"
        for module, targets in imports().items()
        for target, place in targets
        if unit(module)
        and (unit(target) == "" or unit(target) != unit(module))
        and (unit(target) == "" or ORDER.index(unit(target)) >= ORDER.index(unit(module)))
    ]
    assert not up, "\n".join(up)


def test_no_circle_of_modules():
    done = {"ppocore"}

    def visit(module, above):
        assert module not in above, f"a circle: {' -> '.join([*above, module])}"
        if module not in done:
            for target, _ in imports()[module]:
                if target != module:
                    visit(target, [*above, module])
            done.add(module)

    for module in imports():
        visit(module, [])


def floors():
    """The floor of each unit: 1 where it imports no other, else one above the highest that it imports."""
    uses = {name: set() for name in ORDER}
    for module, targets in imports().items():
        if unit(module):
            uses[unit(module)] |= {unit(target) for target, _ in targets} - {unit(module), ""}
    found = {}
    for name in ORDER:
        found[name] = 1 + max((found[below] for below in uses[name]), default=0)
    return found, sum(map(len, uses.values()))


def test_modules_stay_small():
    inside = ROOT / "ppocore"
    assert len(list(inside.glob("*.py"))) <= 13
    assert len([folder for folder in inside.iterdir() if (folder / "__init__.py").exists()]) <= 11
    assert max(floors()[0].values()) <= 12


if __name__ == "__main__":
    storeys, arrows = floors()
    for floor in range(max(storeys.values()), 0, -1):
        print(f"floor {floor:>2}  {'  '.join(name for name in ORDER if storeys[name] == floor)}")
    print(f"{len(storeys)} units, {max(storeys.values())} floors, {arrows} arrows")
