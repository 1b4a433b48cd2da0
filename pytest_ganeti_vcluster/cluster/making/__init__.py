"""How a cluster is made: built for real, joined in bulk, cloned from an image, filled with instances."""
