"""What we know of Ganeti: its installations, how they are run, daemons, commands, bring-up."""
