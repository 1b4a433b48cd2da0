"""The page of a story: one file, with a picture of what happened when on which node, and nothing from elsewhere."""
