"""What the plugin costs a pytest run that uses no cluster: `python benchmarks/startup.py [--runs 21]`.

Whole processes are timed, with the plugin installed as it is for users and with `-p no:ganeti_vcluster`, in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from measure import in_turn, show


@click.command()
@click.option("--runs", default=21, show_default=True)
def main(runs: int) -> None:
    """Time an empty pytest run with and without the plugin."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
        base = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            "--rootdir",
            folder,
        ]

        def run(*options: str) -> None:
            subprocess.run([*base, *options, folder], check=True, stdout=subprocess.DEVNULL, cwd=folder)

        run()
        run("-p", "no:ganeti_vcluster")
        seconds = in_turn(
            {"with the plugin": run, "without": lambda: run("-p", "no:ganeti_vcluster")},
            runs,
        )
    show("An empty pytest run", seconds, "ms")
    with_plugin, without = (statistics.median(values) for values in seconds.values())
    pairs = statistics.median(a - b for a, b in zip(*seconds.values()))
    click.echo(
        f"the plugin costs {pairs * 1000:.1f} ms (median of pairs), {with_plugin / without:.3f} times as long"
    )


if __name__ == "__main__":
    main()
