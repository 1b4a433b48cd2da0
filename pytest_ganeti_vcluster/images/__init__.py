"""Images: the files of a cluster kept apart from it, put back as they were or as a new cluster's."""
