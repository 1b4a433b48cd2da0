"""What can be done to a cluster that a healthy machine does not do to it, and how it is undone."""
