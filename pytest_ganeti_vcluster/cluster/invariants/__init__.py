"""What is true of every healthy cluster at rest, and looking whether it is."""
