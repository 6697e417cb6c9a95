"""Real builds: sdist and wheel, installed into empty environments, with a compiler and without one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SEEN_BY_BUILDS = ("FASTCHAT_REQUIRE_EXT", "FASTCHAT_PURE", "FASTCHAT_CFLAGS", "PYTHONPATH", "CC", "CFLAGS")
WARNING = "C extension is not in use"
STUBS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "fastchat").rglob("*.pyi"))
CYTHON = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "fastchat").rglob("*.pyx"))
PARTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "fastchat").rglob("*.px[di]"))
MODULES = [path.removesuffix(".pyx").replace("/", ".") for path in CYTHON]


def call(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command whose environment names nothing of this test run; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name not in SEEN_BY_BUILDS}
    run = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, f"{command} failed:\n{run.stdout[-4000:]}"
    return run.stdout


class Environment:
    """An empty virtual environment; pip comes from the one that runs the tests."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.fastchat = folder / "bin" / "fastchat"

    def install(self, what: Path, **variables: str) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet")
        call(*pip, what, cwd=self.folder, **variables)

    def run(self, code: str) -> str:
        return call(self.python, "-W", "error", "-c", code, cwd=self.folder).strip()


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that nothing is left in the tree."""
    copy = tmp_path_factory.mktemp("sdist") / "tree"
    left_out = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "fastchat-data", "node_modules"
    )
    shutil.copytree(ROOT, copy, ignore=left_out)
    call(sys.executable, "-m", "build", "--sdist", "--outdir", copy.parent, copy, cwd=copy.parent)
    (archive,) = copy.parent.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir")
    call(*pip, sdist.parent, sdist, cwd=sdist.parent, FASTCHAT_REQUIRE_EXT="1")
    (archive,) = sdist.parent.glob("*.whl")
    return archive


@pytest.fixture(scope="module")
def compiled(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    environment = Environment(tmp_path_factory.mktemp("compiled"))
    environment.install(wheel)
    yield environment
    shutil.rmtree(environment.folder)


@pytest.fixture(scope="module")
def pure(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Install where no compiler works."""
    environment = Environment(tmp_path_factory.mktemp("pure"))
    environment.install(sdist, CC="/bin/false")
    yield environment
    shutil.rmtree(environment.folder)


def test_the_sdist_holds_the_sources_and_nothing_made(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*CYTHON, *PARTS, *STUBS} <= names
    assert {"LICENSE", "CHANGELOG.md", "Makefile", "fastchat.example.toml", "tests/twins.py"} <= names
    assert [name for name in names if name.startswith("fastchat/") and name.endswith((".c", ".so"))] == []
    assert [name for name in names if name.startswith("build/")] == []


def test_the_wheel_holds_what_runs_and_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    libraries = sorted(name.partition(".cpython")[0] for name in names if name.endswith(".so"))
    assert libraries == [path.removesuffix(".pyx") for path in CYTHON]
    assert {"fastchat/py.typed", *STUBS} <= set(names)
    assert [name for name in names if name.endswith((".c", ".pyx", ".pxd", ".pxi", ".h"))] == []
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fastchat"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_compiler_that_fails_fails_the_build_where_it_is_required(sdist: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    with pytest.raises(AssertionError, match="/bin/false"):
        environment.install(sdist, CC="/bin/false", FASTCHAT_REQUIRE_EXT="1")


@pytest.mark.parametrize("module", MODULES)
def test_the_compiled_twins_are_there_and_chosen(compiled: Environment, module: str) -> None:
    assert compiled.run(f"import {module} as m; print(m.__file__)").endswith(".so")


@pytest.mark.parametrize("module", MODULES)
def test_without_a_compiler_there_are_none(pure: Environment, module: str) -> None:
    code = f"import importlib.util as u; print(u.find_spec({module!r}))"
    assert pure.run(code) == "None"


def conversation(environment: Environment) -> str:
    """Serve, say something, hear it, stop; return what the server printed."""
    command = [str(environment.fastchat), "serve", "--port", "0"]
    inherited = {name: value for name, value in os.environ.items() if name not in SEEN_BY_BUILDS}
    with subprocess.Popen(
        command,
        cwd=environment.folder,
        env=inherited | {"PYTHONUNBUFFERED": "1"},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        try:
            assert server.stdout is not None
            printed = ""
            while not (found := re.search(r"listens on (127\.0\.0\.1:\d+)", printed)):
                line = server.stdout.readline()
                assert line, f"the server ended:\n{printed}"
                printed += line
            url = f"tcp://{found[1]}"
            call(environment.fastchat, "send", "lobby", "hello", "--url", url, cwd=environment.folder)
            tail = ("tail", "lobby", "--history", "1", "--count", "1", "--url", url)
            assert "hello" in call(environment.fastchat, *tail, cwd=environment.folder)
            server.send_signal(signal.SIGTERM)
            rest, _ = server.communicate(timeout=30)
        finally:
            server.kill()
    assert server.returncode == 0, printed + rest
    return printed + rest


def test_installed_with_the_compiled_modules_it_serves(compiled: Environment) -> None:
    assert WARNING not in conversation(compiled)


def test_installed_without_them_it_serves_with_one_warning(pure: Environment) -> None:
    assert conversation(pure).count(WARNING) == 1


def test_the_installed_command_tells_which_twins_run(compiled: Environment, pure: Environment) -> None:
    assert "pure" not in call(compiled.fastchat, "version", cwd=compiled.folder)
    twins = [module for module in MODULES if ".bench." not in module]  # the load generator has none
    assert call(pure.fastchat, "version", cwd=pure.folder).count("pure") == len(twins) == 3


def test_the_types_are_found_by_those_who_install_it(compiled: Environment, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("import fastchat\nreveal_type(fastchat.connect('tcp://x'))\n")
    mypy = (sys.executable, "-m", "mypy", "--python-executable", compiled.python, "user.py")
    assert 'Revealed type is "fastchat.client.chat.Chat"' in call(*mypy, cwd=tmp_path)
