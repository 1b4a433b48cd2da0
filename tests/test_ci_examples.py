"""The examples for CI: the very commands of their files, run in what is nearest to their containers here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings
from tests.trees import make_tree

TOP = Path(__file__).parents[1]
CI = TOP / "examples" / "ci"
GITHUB, GITLAB = CI / "github-actions.yml", CI / "gitlab-ci.yml"

#: Seconds that a job may take: it fetches packages, and builds images on a busy machine.
TIMEOUT = 1500.0

#: A user that this machine does not know, in a user namespace of its own, without capabilities, and without a way
#: to get any; with an empty /tmp. `$1` is what it runs.
_CONTAINER = """\
set -e
mount -t tmpfs -o mode=1777 tmpfs /tmp
echo 1 > /proc/sys/user/max_user_namespaces
exec unshare --user --map-user=12345 --map-group=12345 setpriv --no-new-privs bash -e "$1"
"""
_ENTER = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _CONTAINER, "container")


def load(path: Path) -> dict[str, Any]:
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(told, dict)
    return told


def runs(job: dict[str, Any]) -> list[str]:
    """Return what the steps of a job of GitHub run."""
    return [step["run"] for step in job["steps"] if "run" in step]


def github_script(workspace: Path) -> str:
    """Return a script that runs the steps as GitHub's runner does: each in a shell of its own (`bash -e`)."""
    lines = [
        f"cd {workspace}",
        'export GITHUB_ENV="$PWD/.github-env" GITHUB_PATH="$PWD/.github-path"',
        ': > "$GITHUB_ENV"; : > "$GITHUB_PATH"',
    ]
    for number, run in enumerate(runs(load(GITHUB)["jobs"]["integration"])):
        step = workspace / f".step-{number}.sh"
        step.write_text(run, encoding="utf-8")
        lines += [
            f"bash --noprofile --norc -eo pipefail {step}",
            'set -a; . "$GITHUB_ENV"; set +a',
            'while read -r one; do PATH="$one:$PATH"; done < "$GITHUB_PATH"; : > "$GITHUB_PATH"',
        ]
    return "\n".join(lines)


def gitlab_script(workspace: Path) -> str:
    """Return a script that runs a job as GitLab's runner does: all of it in one shell."""
    job = load(GITLAB)["integration"]
    variables = [f'export {name}="{value}"' for name, value in job["variables"].items()]
    return "\n".join(
        [
            "set -eo pipefail",
            f"cd {workspace}",
            'export CI_PROJECT_DIR="$PWD"',
            *variables,
            *job["before_script"],
            *job["script"],
        ]
    )


def test_both_do_the_same() -> None:
    github, gitlab = load(GITHUB)["jobs"], load(GITLAB)
    assert runs(github["build"]) == gitlab["build"]["script"]
    commands = "\n".join([*gitlab["integration"]["before_script"], *gitlab["integration"]["script"]])
    steps = "\n".join(runs(github["integration"])).replace("\\\n  ", "").replace("venv/bin/pip", "pip")
    told = set(steps.splitlines()) ^ set(commands.splitlines())
    # How each CI passes settings from step to step.
    assert not [line for line in told if not re.match(r"echo |export PATH=|$", line)]
    assert github["integration"]["container"]["image"] == gitlab["integration"]["image"]["name"]


@pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=lambda path: path.stem)
def test_no_privilege_is_asked_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"--privileged|--cap-add|--device|security-opt|\bsudo\b|apt-get", text)


@attrs.frozen
class Container:
    """Where the commands run: a folder that stands for the checkout, and what pip is to find."""

    workspace: Path
    wheels: Path

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        file = self.workspace / ".job.sh"
        file.write_text(script, encoding="utf-8")
        keep = (
            "PIP_",
            "SSL_CERT",
            "REQUESTS_CA",
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
        )
        environment = {name: value for name, value in os.environ.items() if name.startswith(keep)}
        links = " ".join(filter(None, [environment.get("PIP_FIND_LINKS"), str(self.wheels)]))
        environment |= {"PIP_FIND_LINKS": links, "CI": "true", "HOME": "/", "LANG": "C.UTF-8"}
        # A container's, with the Python of this run.
        environment["PATH"] = f"{self.wheels.parent / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        return subprocess.run(
            [*_ENTER, str(file)],
            env=environment,
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


def entered(command: Sequence[str]) -> bool:
    """Tell whether such a container can be had here: namespaces may be forbidden."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    trial = [*command[: command.index("sh")], "sh", "-c", _CONTAINER, "container", "/dev/null"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    if not entered(_ENTER):
        pytest.skip("this machine permits no user namespaces, which stand for a container here")
    # Not in /tmp, which is another one there; by a path that an unknown user can walk.
    place = Path("/var/tmp") / f"gvc-ci-{os.getpid()}"
    wheels = place / "wheels"
    wheels.mkdir(parents=True)
    (place / "bin").mkdir()
    (place / "bin/python3").symlink_to(Path(sys.executable).resolve())
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(TOP)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    yield Container(place / "workspace", wheels)
    shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.parametrize("script", [github_script, gitlab_script], ids=["github", "gitlab"])
def test_the_commands_work_in_an_unprivileged_container(container: Container, script: Any) -> None:
    workspace = container.workspace
    workspace.mkdir()
    try:
        tests = workspace / "test/py/integration"
        tests.mkdir(parents=True)
        shutil.copy(TOP / "examples/ganeti_tree/test_integration.py", tests)
        found = find_installation(Settings.read())
        tree = make_tree(found, workspace / "integration-tree", copies=True)
        with tarfile.open(workspace / "integration-tree.tar.gz", "w:gz", compresslevel=1) as archive:
            archive.add(tree, "integration-tree")
        shutil.rmtree(tree)

        done = container.run(script(workspace))

        assert done.returncode == 0, done.stdout
        assert re.search(r"\b6 passed in ", done.stdout), done.stdout
        assert f"(the folder asked for) in {tree}" in done.stdout
        assert 'failures="0"' in (workspace / "report.xml").read_text(encoding="utf-8")
    finally:
        shutil.rmtree(workspace)
