"""Clusters that run already: what others have to know of one, finding it, attaching to it."""
