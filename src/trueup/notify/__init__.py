"""Telling people and programs: e-mail and webhooks, out of the outbox."""

from trueup.notify.deliver import Delivered, deliver, send_storage_alert

__all__ = ["Delivered", "deliver", "send_storage_alert"]
