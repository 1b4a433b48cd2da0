"""Engine with Linux namespaces: each node a machine of its own, with its own names, addresses, mounts and processes."""
