"""Interactive figures: for each one a Python class and an ES module of the same file name."""
