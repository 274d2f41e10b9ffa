"""A URL into a file of ours, and nowhere it should not lead."""
