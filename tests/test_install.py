"""A wheel, an sdist, an editable install and a bare checkout all give the same packages.

Nothing is downloaded: each environment sees the packages of this one, except ppocore.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.posix

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {"ppocore": "ppocore", "backends": "ppocore/backends", "envs": "ppocore/envs"}

LOOK = """
import importlib.util, json, ppocore, ppocore.backends.numpy_backend, ppocore.envs
print(json.dumps({
    "version": ppocore.__version__,
    "ppocore": ppocore.__file__,
    "backend": ppocore.backends.numpy_backend.__file__,
    "envs": ppocore.envs.__file__,
    "top": [name for name in ("backends", "envs") if importlib.util.find_spec(name)],
}))
"""


def run(*command, cwd, pythonpath=None):
    """The standard output of a command that must succeed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    if pythonpath:
        env["PYTHONPATH"] = str(pythonpath)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def look(python, *, cwd, pythonpath=None):
    return json.loads(run(python, "-c", LOOK, cwd=cwd, pythonpath=pythonpath))


def modules(folder):
    """The modules under ROOT/folder, as paths inside the installed tree."""
    return {f"{SOURCES[folder]}/{path.relative_to(ROOT / folder).as_posix()}" for path in (ROOT / folder).rglob("*.py")}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of the files that a clone of this checkout has, so that building leaves nothing here."""
    copy = tmp_path_factory.mktemp("checkout") / "source"
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    everywhere = shutil.ignore_patterns(".git", *(line.strip("/") for line in lines if not line.startswith("/")))
    at_the_top = shutil.ignore_patterns(*(line.strip("/") for line in lines if line.startswith("/")))

    def ignored(folder, names):
        return everywhere(folder, names) | (at_the_top(folder, names) if Path(folder) == ROOT else set())

    return shutil.copytree(ROOT, copy, ignore=ignored)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Makes virtual environments that see every package of this one but ppocore."""
    visible = tmp_path_factory.mktemp("visible")
    for folder in sys.path:
        if Path(folder).name in ("site-packages", "dist-packages"):
            for entry in Path(folder).iterdir():
                link = visible / entry.name
                if "ppocore" not in entry.name and entry.suffix != ".pth" and not link.is_symlink():
                    link.symlink_to(entry)

    def make(name):
        home = tmp_path_factory.mktemp(name)
        venv.create(home, symlinks=True)
        python = home / "bin" / "python"
        packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
        Path(packages.strip(), "visible.pth").write_text(f"{visible}\n")
        return python

    return make


@pytest.fixture(scope="session")
def builder(environment):
    return environment("builder")


@pytest.fixture(scope="session")
def wheel(checkout, builder, tmp_path_factory):
    return build("build_wheel", checkout, builder, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(checkout, builder, tmp_path_factory):
    return build("build_sdist", checkout, builder, tmp_path_factory.mktemp("sdist"))


def build(hook, checkout, builder, destination):
    copy = destination / "source"
    shutil.copytree(checkout, copy)
    code = f"import setuptools.build_meta as backend; backend.{hook}({str(destination)!r})"
    run(builder, "-c", code, cwd=copy)
    (archive,) = (path for path in destination.iterdir() if path != copy)
    return archive


@pytest.fixture(scope="session")
def install(environment):
    def make(name, *what):
        python = environment(name)
        pip = (python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
        run(*pip, *what, cwd=python.parent)
        return python

    return make


@pytest.fixture(scope="session")
def wheel_python(install, wheel):
    return install("from-wheel", wheel)


@pytest.fixture(scope="session")
def sdist_python(install, sdist):
    return install("from-sdist", sdist)


@pytest.fixture(scope="session")
def editable_checkout(checkout, tmp_path_factory):
    return shutil.copytree(checkout, tmp_path_factory.mktemp("editable") / "source")


@pytest.fixture(scope="session")
def editable_python(install, editable_checkout):
    return install("editable-install", "--editable", editable_checkout)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_an_install_works_from_anywhere(kind, request, tmp_path):
    python = request.getfixturevalue(f"{kind}_python")
    seen = look(python, cwd=tmp_path)
    assert seen["top"] == []
    assert seen["version"] in run(python.parent / "ppocore", "--version", cwd=tmp_path)
    home = Path(seen["ppocore"]).parent
    assert (home / "py.typed").is_file()
    if kind == "editable":
        source = request.getfixturevalue("editable_checkout")
        assert home == source / "ppocore"
        assert Path(seen["backend"]) == source / "backends" / "numpy_backend.py"
        assert Path(seen["envs"]) == source / "envs" / "__init__.py"
    else:
        assert home.is_relative_to(python.parent.parent)
        assert Path(seen["backend"]) == home / "backends" / "numpy_backend.py"
        assert Path(seen["envs"]) == home / "envs" / "__init__.py"


def test_the_wheel_holds_every_module_and_puts_nothing_beside_ppocore(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"ppocore"}
    assert {name for name in names if name.endswith(".py")} == set().union(*map(modules, SOURCES))
    assert "ppocore/py.typed" in names


def test_links_of_the_description_lead_to_the_repository(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        description = archive.read(metadata).decode()
    relative, readme = re.compile(r"\]\((?!https:|#)"), (ROOT / "README.md").read_text(encoding="utf-8")
    assert relative.search(readme)
    assert not relative.search(description)
    assert "](https://github.com/ppocore/ppocore/blob/main/docs/settings.md)" in description
    assert "](https://github.com/ppocore/ppocore/raw/main/docs/cartpole.png)" in description


@pytest.fixture(scope="session")
def unpacked_sdist(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


def test_the_sdist_holds_what_a_clone_holds(checkout, unpacked_sdist):
    there, cloned = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (unpacked_sdist, checkout)
    )
    tops = {name.partition("/")[0] for name in there}
    assert {"docs", "examples", "benchmarks", ".ci", ".github", "setup.py", "constraints.txt"} <= tops
    assert sorted(name for name in cloned - there if name.partition("/")[0] in tops) == []


@pytest.mark.slow
def test_the_tests_of_the_sdist_find_the_files_that_they_read(unpacked_sdist, builder, tmp_path):
    names = ["test_documentation", "test_project", "test_mutation_survivors", "test_own_backend"]
    files = [path for name in names for path in (unpacked_sdist / "tests").rglob(f"{name}.py")]
    assert len(files) == len(names)
    flags = ["-q", "-p", "no:cacheprovider", "-k", "not of_the_readme and not fingerprint"]
    done = run(builder, "-m", "pytest", *flags, *files, cwd=unpacked_sdist, pythonpath=unpacked_sdist)
    assert " passed" in done
    assert "skipped" not in done


def test_a_bare_checkout_works_on_the_python_path(checkout, builder, tmp_path):
    seen = look(builder, cwd=tmp_path, pythonpath=checkout)
    assert Path(seen["ppocore"]) == checkout / "ppocore" / "__init__.py"
    assert Path(seen["backend"]) == checkout / "backends" / "numpy_backend.py"


def test_a_checkout_that_shadows_the_installed_wheel_works(checkout, wheel_python):
    seen = look(wheel_python, cwd=checkout)
    assert Path(seen["ppocore"]) == checkout / "ppocore" / "__init__.py"
    assert Path(seen["backend"]) == checkout / "backends" / "numpy_backend.py"
    assert seen["version"] in run(wheel_python, "-m", "ppocore", "--version", cwd=checkout)
