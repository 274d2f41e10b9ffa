"""Telling people and programs: e-mail and webhooks, out of the outbox."""

from trueup.notify.deliver import Delivered, deliver, send_storage_alert
from trueup.notify.mail import check as check_mail

__all__ = ["Delivered", "check_mail", "deliver", "send_storage_alert"]
