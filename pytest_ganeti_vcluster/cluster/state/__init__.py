"""What makes up the state of a cluster: telling whether it has changed, putting it back, keeping it."""
