"""The scripts of a farm by which Ganeti's Python programs are run, and how Python itself is made to pass by."""

from __future__ import annotations

from pathlib import Path

import attrs

#: Python versions for which a user-site folder is made; which one luxid's /usr/bin/python3 is does not matter.
_PYTHON_MINORS = range(9, 30)

#: What luxid runs a job with: an absolute path that was compiled into it (src/Ganeti/JQScheduler.hs,
#: src/Ganeti/Query/Exec.hs), which is not where this installation has it.
_JOB_PROGRAM = "/ganeti/jqueue/exec.py"

_USERCUSTOMIZE = """\
import os
if os.environ.get("VCLUSTER_FARM") and os.environ.get("GANETI_ROOTDIR"):
    import sys
    sys.path.insert(0, os.path.join(os.environ["VCLUSTER_FARM"], "site"))
    if os.environ.get("VCLUSTER_FORK_SOCKET"):
        from vcluster_inside.forking.client import enter_job
        enter_job({marker!r}, {job!r}, {program!r}, {python!r})
    from vcluster_inside.activation import enter_python
    enter_python()
"""

_PLAIN = """\
#!{python}
import sys
sys.path.insert(0, {site!r})
from vcluster_inside.activation import run
run({program!r})
"""

# Nothing that it does not need is loaded: neither `site` nor what variables say.
_FORKED = """\
#!{python} -IS
import sys
sys.path.insert(0, {site!r})
from vcluster_inside.forking.client import enter
enter({program!r}, {python!r}, {plain!r})
"""

_MAIN = """\
#!{python}{options}
import sys
sys.path.insert(0, {site!r})
from vcluster_inside.{module} import main
main()
"""


@attrs.frozen
class Stubs:
    """Writes the stubs of one farm, for one interpreter; `site` is the folder with `vcluster_inside`."""

    python: Path
    site: Path

    def write_plain(self, path: Path, program: Path) -> None:
        """Write a stub that runs a program of Ganeti. Its file name becomes the name of the process."""
        put(path, _PLAIN.format(python=self.python, site=str(self.site), program=str(program)))

    def write_forked(self, path: Path, program: Path, plain: Path) -> None:
        """Write a stub that has a program forked by the fork server, else runs the stub `plain`."""
        put(
            path,
            _FORKED.format(
                python=str(self.python), site=str(self.site), program=str(program), plain=str(plain)
            ),
        )

    def write_main(self, path: Path, module: str, *, bare: bool = False) -> None:
        """Write a stub that runs `main()` of a module of `vcluster_inside`.

        `bare`: in a Python that has nothing but its standard library, and heeds no variables.
        """
        options = " -IS" if bare else ""
        put(path, _MAIN.format(python=self.python, options=options, site=str(self.site), module=module))

    def write_user_site(self, userbase: Path, job: Path, share: Path) -> None:
        """Write what any Python loads at its start that has `userbase` as PYTHONUSERBASE; `job` is a job's stub."""
        text = _USERCUSTOMIZE.format(
            marker=_JOB_PROGRAM,
            job=str(job),
            program=str(share / _JOB_PROGRAM.lstrip("/")),
            python=str(self.python),
        )
        for minor in _PYTHON_MINORS:
            folder = userbase / "lib" / f"python3.{minor}" / "site-packages"
            folder.mkdir(parents=True)
            (folder / "usercustomize.py").write_text(text, encoding="utf-8")


def put(path: Path, text: str) -> None:
    """Write a script."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
