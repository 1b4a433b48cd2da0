"""Subcommands that have subcommands themselves."""

from __future__ import annotations

import click

#: Letters: more than any first sentence has.
_WHOLE = 1000


class GroupOfSentences(click.Group):
    """In its help, each subcommand has its whole first sentence, as what it does may be at the end of that."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        commands = {name: self.get_command(ctx, name) for name in names}
        rows = [(name, one.get_short_help_str(_WHOLE)) for name, one in commands.items() if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
