"""What a release has to pass: `tox run -m release`."""
