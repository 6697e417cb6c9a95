"""What lies in the repository: no machine's paths or registry's hosts, commands and links that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KEPT = {
    "", ".c", ".css", ".h", ".html", ".in", ".js", ".json", ".lua", ".md", ".pxd", ".pxi", ".py", ".pyi",
    ".pyx", ".sh", ".toml", ".txt",
}  # fmt: skip
SKIPPED = {".git", ".venv", "build", "dist", "node_modules", "__pycache__"}

# Written in pieces, so that this file is not among what it finds.
FORBIDDEN = {
    "a home directory": r"/(?:home|Users)/\w+|/ro" + r"ot/",
    "a working directory of one machine": r"/wo" + r"rk/|/tmp/" + r"fc\b",
    "a registry's host": r"files\.python"
    + r"hosted|pypi\."
    + r"org/simple|registry\."
    + r"npmjs|index-"
    + r"url",
    "a conflict left behind": r"^(?:<{7}|>{7}) ",
}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RELEASE = re.compile(r"## \[(Unreleased|\d+\.\d+\.\d+)\](?: - \d{4}-\d\d-\d\d)?")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def files() -> list[Path]:
    """List what git tracks; in an unpacked sdist, everything that was not made since."""
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if git.returncode == 0 and (ROOT / ".git").exists():
        paths = [ROOT / name for name in git.stdout.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not SKIPPED.intersection(path.relative_to(ROOT).parts)]
    return [path for path in paths if path.is_file() and path.suffix in KEPT]


def lines_with(pattern: str, text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN)
def test_no_file_holds(pattern: str) -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in files()
        if (lines := lines_with(pattern, path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "name, text",
    [
        ("a home directory", "see /home/" + "ada/notes"),
        ("a home directory", "/ro" + "ot/x"),
        ("a working directory of one machine", "cd /wo" + "rk/main"),
        ("a registry's host", "pip install --index-" + "url x"),
        ("a conflict left behind", "<" * 7 + " HEAD"),
    ],
)
def test_a_planted_line_is_found(name: str, text: str) -> None:
    assert lines_with(FORBIDDEN[name], "first\n" + text) == [2]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_in_the_documents_exists(path: Path) -> None:
    asked = set(re.findall(r"(?:`|^|\$ )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert asked <= targets()


def test_the_make_help_names_every_target() -> None:
    told = set(re.findall(r'@echo "make ([a-z-]+)', (ROOT / "Makefile").read_text()))
    assert told == targets() - {"help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_changelog_can_be_read() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## .*$", text, re.MULTILINE)
    assert headings and all(RELEASE.fullmatch(heading) for heading in headings)
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= KINDS
    body = [line for line in text.splitlines()[1:] if line.startswith(("-", "*"))]
    assert body and all(line.startswith("- ") for line in body)


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert (
        text.startswith("MIT License\n") and "fastchat maintainers" in text and text.endswith("SOFTWARE.\n")
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|pyx|pxi|pyi|c|toml|json))`", text))
    made = {"fastchat.toml"}  # by whoever runs the server
    below = (
        "",
        "fastchat",
        "fastchat/transports",
        "benchmarks",
        "benchmarks/reference",
        "tests/vectors",
        "docs",
    )
    places = [ROOT / folder for folder in below]
    missing = [name for name in named - made if not any((place / name).exists() for place in places)]
    assert missing == []
