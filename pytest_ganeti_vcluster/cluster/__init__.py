"""The handle: what a test asks for, and the running cluster that it gets."""
