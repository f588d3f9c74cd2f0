"""One extension of mindgap of each kind, in a package of its own: nothing is registered, the YAML names the class."""
