"""Sending e-mail over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from trueup.errors import StoreError
from trueup.notify.config import Email
from trueup.notify.text import Text

_TIMEOUT: Final = 30
"""Seconds that one step may take."""
_GREETING: Final = 5
"""The same where nothing depends on it."""


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
        with _connected(config, _TIMEOUT) as server:
            refused = server.send_message(mail, from_addr=config.sender, to_addrs=list(to))
    except smtplib.SMTPAuthenticationError as error:
        raise _not_let_in(config, error) from None
    except (smtplib.SMTPException, OSError) as error:
        raise StoreError(f"e-mail could not be sent over {config.host}:{config.port}: {_said(error)}") from None
    return {
        address: f"{config.host} refused the e-mail to {address}: {_said(smtplib.SMTPResponseException(*answer))}"
        for address, answer in refused.items()
    }


def check(config: Email) -> str:
    """Greet the server as if a message were to be sent, and send none; what it shows, in words. Raises `StoreError`."""
    try:
        with _connected(config, _GREETING) as server:
            server.ehlo_or_helo_if_needed()
    except smtplib.SMTPAuthenticationError as error:
        raise _not_let_in(config, error) from None
    except (smtplib.SMTPException, OSError) as error:
        raise StoreError(
            f"{config.host}:{config.port} does not answer as a mail server with tls = '{config.tls}': {_said(error)}",
            cure="Check host, port and tls in [alerts.email]: 587 is for starttls, 465 for tls",
        ) from None
    return f"{config.host}:{config.port} {f'lets {config.user} in' if config.user else 'answers'}"


@contextmanager
def _connected(config: Email, timeout: float) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    if config.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(config.host, config.port, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(config.host, config.port, timeout=timeout)
    with closing(server):
        if config.tls == "starttls":
            server.starttls(context=context)
        if config.user:
            server.login(config.user, config.password)
        yield server
        server.quit()


def _not_let_in(config: Email, error: smtplib.SMTPAuthenticationError) -> StoreError:
    return StoreError(
        f"{config.host} does not let {config.user} in (SMTP {error.smtp_code})",
        cure="Check user and password in [alerts.email]",
    )


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"refused for {', '.join(error.recipients)}"
    return str(error) or type(error).__name__
