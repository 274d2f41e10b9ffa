"""The service: everything over HTTP, and jobs by the clock."""

from trueup.api.app import create_app
from trueup.api.serve import serve

__all__ = ["create_app", "serve"]
