"""`fastchat bench report`: plots and a page of what was measured."""

from __future__ import annotations

from pathlib import Path

import click

from fastchat.bench.failure import BenchError
from fastchat.bench.results import folder

EPILOG = """\b
Examples:
  fastchat bench report
  fastchat bench report --out /tmp/report
  fastchat bench report --results results --out report

\b
The page is one file without scripts or links to elsewhere; the plots lie beside it as PNG files. What has
not been measured yet is named, with the command that does.
"""
EXTRA = "the report's plots need matplotlib: pip install 'fastchat[bench]'"


@click.command(epilog=EPILOG)
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The results to show; bench_results/ of the working tree by default.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where page and plots go; report/ in the folder of the results by default.",
)
def command(results: Path | None, out: Path | None) -> None:
    """Make plots and one self-contained page of the results in a folder."""
    source = results or folder() or Path.cwd()
    try:
        from fastchat.bench.report import report
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("matplotlib", "numpy", "PIL"):
            raise
        raise BenchError(EXTRA) from error
    made = report(source, out or source / "report")
    for line in (*made.missing, *made.notices):
        click.echo(f"fastchat: {line}", err=True)
    for path in made.written:
        click.echo(path)
