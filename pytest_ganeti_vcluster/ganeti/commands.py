"""Commands on virtual nodes: what was asked, and what came out."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.engines.base import OFF, Command
from pytest_ganeti_vcluster.errors import CommandFailed
from pytest_ganeti_vcluster.keeper.client import Keeper

#: Status of a command that is not there, as shells give it.
_NOT_FOUND = 127

#: Status of a command on a node that cannot be reached, as ssh gives it.
_NOT_REACHED = 255


@attrs.frozen
class CommandResult:
    """What a command on a node gave; `duration` in seconds."""

    argv: tuple[str, ...]
    node: str
    returncode: int
    stdout: str
    stderr: str
    duration: float
    timed_out: bool = False

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.stdout.splitlines()

    def __str__(self) -> str:
        status = "timed out" if self.timed_out else f"status {self.returncode}"
        text = f"{self.node}# {shlex.join(self.argv)}   ({status}, {self.duration:.2f} s)"
        return "\n".join(part.rstrip() for part in (text, self.stdout, self.stderr) if part.strip())

    def check(self) -> CommandResult:
        """Return self; `CommandFailed` unless the status is 0."""
        if self.returncode or self.timed_out:
            how = "did not end in time" if self.timed_out else f"ended with status {self.returncode}"
            raise CommandFailed(
                f"on {self.node}: {shlex.join(self.argv)} {how} after {self.duration:.1f} s",
                result=self,
                seen="\n".join((self.stdout + "\n" + self.stderr).strip().splitlines()[-30:]),
            )
        return self


@attrs.frozen
class NodeShell:
    """Run commands on one virtual node, as its root user would. The keeper owns what they leave running.

    `command` says what is to be run here for one; None where the node is down.
    """

    keeper: Keeper
    name: str
    root: Path
    environment: Mapping[str, str]
    _command: Callable[[Sequence[str]], Command | None]

    def run(
        self,
        *argv: str,
        check: bool = True,
        stdin: str | None = None,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        watch: Callable[[], None] | None = None,
    ) -> CommandResult:
        """Run `argv` in the node's root user's home; return when it ends.

        `stdin` is its input (none without), `timeout` in seconds (none without), `env` adds variables; `watch`
        is called again and again meanwhile, and what it raises ends the command. Raises `CommandFailed` where
        `check` is true and the status is not 0 (127: there is no such command; 255: the node is switched off) or the
        time is over, `KeeperError` where the cluster has ended.
        """
        environment = {**self.environment, **(env or {})}
        command = self._prepare(argv, environment)
        if isinstance(command, CommandResult):
            return command.check() if check else command
        outcome = self.keeper.run(
            command.argv,
            env=environment,
            cwd=command.folder,
            stdin=None if stdin is None else stdin.encode(),
            timeout=timeout,
            watch=watch,
        )
        result = CommandResult(
            argv=argv,
            node=self.name,
            returncode=outcome.returncode,
            stdout=outcome.stdout.decode(errors="replace"),
            stderr=outcome.stderr.decode(errors="replace"),
            duration=outcome.duration,
            timed_out=outcome.timed_out,
        )
        return result.check() if check else result

    def run_connected(
        self,
        *argv: str,
        descriptors: Sequence[int],
        env: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
    ) -> int:
        """Run `argv` with these descriptors of ours as standard input, output and error; return its status.

        `through` is a command of this machine that runs it, such as one that gives it a terminal. Raises
        `CommandFailed` where there is no such command, or the node is switched off; else as `run`.
        """
        environment = {**self.environment, **(env or {})}
        command = self._prepare(argv, environment)
        if not isinstance(command, Command):
            raise CommandFailed(f"on {self.name}: {command.stderr}", result=command)
        return self.keeper.run_connected(
            [*through, *command.argv], descriptors=descriptors, env=environment, cwd=command.folder
        )

    def _prepare(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> Command | CommandResult:
        """Return what has to be run here, or what came of it where nothing can be."""
        is_off = (self.root / OFF).exists()
        command = None if is_off else self._command(argv)
        if command is None:
            if not is_off:
                # A machine that nobody switched off: has it gone with its keeper? That is a `KeeperError`.
                self.keeper.processes()
            return CommandResult(argv, self.name, _NOT_REACHED, "", f"{self.name} is switched off", 0.0)
        is_here = "/" in argv[0] or shutil.which(argv[0], path=environment.get("PATH")) is not None
        if not (is_here or command.has_own_programs):
            return CommandResult(argv, self.name, _NOT_FOUND, "", f"{argv[0]}: command not found", 0.0)
        return command
