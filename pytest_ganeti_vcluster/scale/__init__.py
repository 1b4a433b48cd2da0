"""How Ganeti behaves as a cluster grows: measuring it over sizes, and what is made of the results."""
