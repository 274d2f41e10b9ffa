"""The routes, one module for each tag."""
