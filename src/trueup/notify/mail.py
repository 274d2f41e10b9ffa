"""Sending e-mail over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import closing
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from trueup.errors import StoreError
from trueup.notify.config import Email
from trueup.notify.text import Text

_TIMEOUT: Final = 30
"""Seconds that one step may take."""


def send(config: Email, text: Text, to: Sequence[str], *, message_id: str) -> dict[str, str]:
    """Send it to some of the addresses. Those that the server refuses, with what it says about each.

    Raises `StoreError` when nobody gets it, which says what the server said and never a password. The same `message_id`
    tells a mailbox that a message came twice.
    """
    mail = EmailMessage()
    mail["Subject"] = text.subject
    mail["From"] = config.sender
    mail["To"] = ", ".join(config.to)
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message_id}@{config.sender.rpartition('@')[2]}>"
    mail.set_content(text.plain)
    mail.add_alternative(text.html, subtype="html")
    try:
        refused = _deliver(config, mail, to)
    except smtplib.SMTPAuthenticationError as error:
        raise StoreError(
            f"{config.host} does not let {config.user} in (SMTP {error.smtp_code})",
            cure="Check user and password in [alerts.email]",
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        raise StoreError(f"e-mail could not be sent over {config.host}:{config.port}: {_said(error)}") from None
    return {
        address: f"{config.host} refused the e-mail to {address}: {_said(smtplib.SMTPResponseException(*answer))}"
        for address, answer in refused.items()
    }


def _deliver(config: Email, mail: EmailMessage, to: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    context = ssl.create_default_context()
    if config.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(config.host, config.port, timeout=_TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(config.host, config.port, timeout=_TIMEOUT)
    with closing(server):
        if config.tls == "starttls":
            server.starttls(context=context)
        if config.user:
            server.login(config.user, config.password)
        refused = server.send_message(mail, from_addr=config.sender, to_addrs=list(to))
        server.quit()
        return refused


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"refused for {', '.join(error.recipients)}"
    return str(error) or type(error).__name__
