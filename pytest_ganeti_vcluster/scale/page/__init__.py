"""The pages of results: one file each, with plots, that loads nothing from elsewhere."""
