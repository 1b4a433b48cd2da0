"""`scale report` and `scale compare`, as they are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.scale import files
from tests.scale.made import whole


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "before.json"
    files.write(whole(), path)
    return path


@pytest.fixture
def later(tmp_path: Path) -> Path:
    path = tmp_path / "after.json"
    files.write(whole(faster=0.5, seed=2, label="patched"), path)
    return path


def test_report_writes_a_page_beside_the_results(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "report", str(results)]) == 0
    told = capsys.readouterr().out
    assert f"Page: {results.with_suffix('.html')}" in told
    assert "How Ganeti 3.0.2 grows" in results.with_suffix(".html").read_text()
    rows = [line for line in told.splitlines() if line.startswith("gnt-cluster verify")]
    assert [
        ("between linear and quadratic" in line, "over nodes, 200 instances" in line) for line in rows
    ] == [
        (True, True),
        (False, False),
    ]


def test_report_writes_where_it_is_told_and_csv(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(attrs.evolve(whole(), points=whole().points[:2]), results)
    page, values = results.parent / "page.html", results.parent / "values.csv"
    assert main(["scale", "report", str(results), "--output", str(page), "--csv", str(values)]) == 0
    assert page.is_file()
    assert not results.with_suffix(".html").exists()
    assert values.read_text().splitlines()[0] == ",".join(files.COLUMNS)


def test_compare_prints_ratios_and_makes_a_page_where_asked(
    results: Path, later: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scale", "compare", str(results), str(later)]) == 0
    told = capsys.readouterr().out
    assert "before: as packaged (Ganeti 3.0.2, loopback)" in told
    assert "after: patched (Ganeti 3.0.2, loopback)" in told
    (verify,) = [line for line in told.splitlines() if line.startswith("gnt-cluster verify")]
    assert "better at 14, not in both at 1" in verify
    assert "between linear and quadratic" in verify
    assert "of the time" in told
    assert list(results.parent.glob("*.html")) == []

    page = results.parent / "page.html"
    assert main(["scale", "compare", str(results), str(later), "--all", "--output", str(page)]) == 0
    told = capsys.readouterr().out
    assert "as packaged → patched" in page.read_text()
    assert (
        len([line for line in told.splitlines() if line.startswith("gnt-node list, CPU time of luxid")]) == 15
    )


def test_what_is_no_result_is_a_wrong_request(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    assert main(["scale", "report", str(other)]) == 2
    assert "these are no results of a sweep" in capsys.readouterr().err
    assert main(["scale", "compare", str(results), str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_without_the_extra_json_csv_and_ratios_work_and_the_page_tells_what_to_type(
    results: Path, later: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "for name in ('scipy', 'numpy', 'plotly', 'jinja2'): sys.modules[name] = None\n"
        "from pytest_ganeti_vcluster.cli import main; sys.exit(main())"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "scale", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("report", str(results), "--csv", str(tmp_path / "values.csv"))
    assert done.returncode == 1
    assert "pip install 'pytest-ganeti-vcluster[scale]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "values.csv").is_file()
    done = run("compare", str(results), str(later))
    assert done.returncode == 0, done.stderr
    assert "better at 14" in done.stdout
    assert "pip install 'pytest-ganeti-vcluster[scale]'" in done.stdout
