"""A sheet that people edit and fresh numbers, merged into a read model."""
