"""Random operations under random faults, and what must be so when these are lifted: `python -m robustness`."""
