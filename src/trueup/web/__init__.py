"""The dashboard: pages over the service, readable without JavaScript, with nothing loaded from elsewhere."""

from trueup.web.app import mount

__all__ = ["mount"]
