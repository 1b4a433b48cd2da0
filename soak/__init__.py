"""A soak: a virtual cluster is worked for long, in a random order that can be had again, and may not grow."""
