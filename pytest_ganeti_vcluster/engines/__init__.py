"""How a virtual node gets its address, name, files and processes."""
