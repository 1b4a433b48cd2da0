"""A real Ganeti cluster in a pytest test: many virtual nodes, one machine, one ordinary user."""
