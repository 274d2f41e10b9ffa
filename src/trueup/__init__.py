"""trueup brings two places that should agree into agreement, and keeps them there."""
