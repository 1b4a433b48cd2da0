"""The soak, run as a command for a few seconds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_a_short_soak_is_clean(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    words = [
        "--nodes",
        "3",
        "--minutes",
        "0.1",
        "--instances",
        "3",
        "--operations",
        "7",
        "--seed",
        "4",
        "--history",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "soak", *words, str(history)],
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert run.stdout.startswith("Seed 4;")
    written = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    assert all(line["found"]["ganeti-noded"][0] == 3 for line in written if line["kind"] == "sample")
    lines = [line for line in written if line["kind"] != "sample"]
    assert len(lines) < len(written)
    assert {line["result"] for line in lines} == {"success"}
    # What was made was removed in the end.
    kinds = [line["kind"] for line in lines]
    assert kinds.count("create") == kinds.count("remove") >= 3
    last = run.stdout.splitlines()[-1]
    assert re.fullmatch(rf"Clean: .* \(seed 4, {len(lines)} operations in [\d.]+ minutes\)", last)
