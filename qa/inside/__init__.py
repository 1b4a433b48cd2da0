"""What runs in Ganeti's own Python, together with the suite: standard library only."""
