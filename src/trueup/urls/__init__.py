"""A URL that somebody wrote: what it means, where it may lead, and asking it."""
