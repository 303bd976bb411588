"""A configuration fitted for good, and the bundle it is saved as."""
