"""Alerts over a real SMTP server and a real HTTP server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session

import trueup
from tests.servers.shared import free_port
from trueup.catalog import open_catalog
from trueup.catalog.base import Catalog, Limits, Reservation
from trueup.config import Settings, load
from trueup.errors import ConfigError, StoreError
from trueup.notify import check_mail, deliver, text
from trueup.notify.config import Alerts, alerts
from trueup.notify.webhook import signature

MB = 1 << 20


class Mailbox:
    """An SMTP server's handler: keeps what it gets, or refuses it."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.answer = "250 OK"
        self.unknown: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - the server's name for it
        self, _server: object, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        if address in self.unknown:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the server's name for it
        self, _server: object, _session: Session, envelope: Envelope
    ) -> str:
        if self.answer.startswith("250"):
            self.envelopes.append(envelope)
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.answer


def log_in(_server: object, _session: object, _envelope: object, _mechanism: object, data: object) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"me", b"hunter2"), handled=False)


@pytest.fixture
def smtp() -> Iterator[Controller]:
    server = Controller(
        Mailbox(),
        hostname="127.0.0.1",
        port=free_port(),
        auth_require_tls=False,
        authenticator=log_in,
        ready_timeout=30,
    )
    server.start()
    yield server
    server.stop()


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def http() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.requests, server.status = [], 204
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    quota = 5 << 30
    limits = Limits(quota=quota, full_below=quota // 100, rearm_below=quota * 95 // 100)
    made = open_catalog(f"sqlite:///{tmp_path / 'pool.db'}", {"gcs": limits})
    yield made
    made.close()


def settings_of(**sections: object) -> Settings:
    return Settings(home=Path("h"), environ={}, sections={"alerts": sections})


def to_mail(smtp: Controller, **more: object) -> Alerts:
    given = {"host": "127.0.0.1", "port": smtp.port, "tls": "none", "from": "a@example.com", "to": ["b@example.com"]}
    return alerts(settings_of(email={**given, **more}))


def to_hook(http: ThreadingHTTPServer, secret: str = "s3cret") -> Alerts:
    return alerts(settings_of(webhooks=[{"url": f"http://127.0.0.1:{http.server_port}/hook", "secret": secret}]))


def put(catalog: Catalog, key: str, size: int) -> bool:
    ledger, now = catalog.ledger, datetime.now(UTC)
    wanted = Reservation(key, "gcs", key, size, size, "", now + timedelta(hours=1))
    return ledger.reserve(wanted) and ledger.commit(key, size, "", now)


def later(catalog: Catalog) -> list[object]:
    return list(catalog.outbox.due(datetime.now(UTC) + timedelta(days=1)))


def make_due(catalog: Catalog) -> None:
    """Let the next try be now, with what is known of the last one."""
    [message] = later(catalog)
    catalog.outbox.failed(message.id, "", datetime.now(UTC) - timedelta(seconds=1), message.delivered)


# When there is one


def test_filling_five_gib_with_files_of_fifty_mb_sends_exactly_one_alert(catalog: Catalog, smtp: Controller):
    put_in = 0
    while put(catalog, f"k{put_in}", 50 * MB):
        put_in += 1
    assert put_in == 102
    assert not put(catalog, "one more", 50 * MB)
    assert deliver(catalog.outbox, to_mail(smtp)).sent == 1
    assert deliver(catalog.outbox, to_mail(smtp)).sent == 0
    [mail] = smtp.handler.mails
    assert mail["subject"] == "gcs is full: 4.98 GB of 5.00 GB used"
    assert (mail["from"], mail["to"]) == ("a@example.com", "b@example.com")
    for part in ("plain", "html"):
        body = mail.get_body((part,)).get_content()
        for fact in ("gcs", "4.98 GB", "5.00 GB", "99.6 %", "101"):
            assert fact in body
    # Not before usage has fallen well below the quota is there another one.
    for key in ("k0", "k1"):
        catalog.ledger.remove(catalog.ledger.find(key)[0])
    assert put(catalog, "k0", 100 * MB)
    assert later(catalog) == []
    for number in range(2, 10):
        catalog.ledger.remove(catalog.ledger.find(f"k{number}")[0])
    assert put(catalog, "large", 400 * MB)
    assert len(later(catalog)) == 1


def test_a_provider_that_was_passed_over_is_told_of(catalog: Catalog):
    catalog.ledger.refuse("gcs")
    catalog.ledger.refuse("gcs")
    [message] = later(catalog)
    assert (message.kind, message.payload["provider"]) == ("pool.full", "gcs")
    assert catalog.ledger.usage()[0].is_full


def test_the_alert_is_of_the_transaction_that_it_tells_of(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    from trueup.catalog.sql import ledger

    def full_disk(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "put", full_disk)
        with pytest.raises(OSError, match="disk full"):
            catalog.ledger.refuse("gcs")
    assert not catalog.ledger.usage()[0].is_full
    catalog.ledger.refuse("gcs")
    assert len(later(catalog)) == 1


# Sending


def test_what_cannot_be_sent_is_tried_again_later(catalog: Catalog, smtp: Controller):
    catalog.ledger.refuse("gcs")
    smtp.handler.answer = "451 come back later"
    [problem] = deliver(catalog.outbox, to_mail(smtp)).problems
    assert "451 come back later" in problem
    smtp.handler.answer = "250 OK"
    assert deliver(catalog.outbox, to_mail(smtp)).sent == 0  # not yet
    [message] = catalog.outbox.due(datetime.now(UTC) + timedelta(minutes=1, seconds=5))
    assert message.attempts == 1
    make_due(catalog)
    assert deliver(catalog.outbox, to_mail(smtp)).sent == 1
    [mail] = smtp.handler.mails
    assert mail["message-id"] == f"<{message.id}@example.com>"


def test_who_has_a_message_does_not_hear_it_again_for_another_who_has_not(
    catalog: Catalog, smtp: Controller, http: ThreadingHTTPServer
):
    both = Alerts(email=to_mail(smtp).email, webhooks=to_hook(http).webhooks)
    catalog.ledger.refuse("gcs")
    http.status = 500
    assert len(deliver(catalog.outbox, both).problems) == 1
    make_due(catalog)
    assert len(deliver(catalog.outbox, both).problems) == 1
    http.status = 204
    make_due(catalog)
    assert deliver(catalog.outbox, both).sent == 1
    assert (len(smtp.handler.mails), len(http.requests), later(catalog)) == (1, 3, [])


def test_an_address_that_the_server_refuses_is_said_and_tried_again_alone(catalog: Catalog, smtp: Controller):
    to = to_mail(smtp, to=["b@example.com", "gone@example.com", "c@example.com"])
    catalog.ledger.refuse("gcs")
    smtp.handler.unknown = {"gone@example.com"}
    assert deliver(catalog.outbox, to).problems == [
        "127.0.0.1 refused the e-mail to gone@example.com: 550 no such user"
    ]
    make_due(catalog)
    [problem] = deliver(catalog.outbox, to).problems
    assert "refused for gone@example.com" in problem
    smtp.handler.unknown = set()
    make_due(catalog)
    assert deliver(catalog.outbox, to).sent == 1
    assert [envelope.rcpt_tos for envelope in smtp.handler.envelopes] == [
        ["b@example.com", "c@example.com"],
        ["gone@example.com"],
    ]


def test_with_nobody_to_tell_it_waits(catalog: Catalog):
    catalog.ledger.refuse("gcs")
    assert deliver(catalog.outbox, Alerts()).sent == 0
    assert len(later(catalog)) == 1


def test_a_login_that_is_refused_is_said_without_the_password(catalog: Catalog, smtp: Controller):
    catalog.ledger.refuse("gcs")
    [problem] = deliver(catalog.outbox, to_mail(smtp, user="me", password="wrong-one")).problems
    assert "does not let me in" in problem
    assert "wrong-one" not in problem
    make_due(catalog)
    assert deliver(catalog.outbox, to_mail(smtp, user="me", password="hunter2")).sent == 1


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_no_password_goes_to_a_server_that_is_not_trusted(catalog: Catalog, smtp: Controller, tls: str):
    catalog.ledger.refuse("gcs")
    assert len(deliver(catalog.outbox, to_mail(smtp, tls=tls, user="me", password="hunter2")).problems) == 1
    assert smtp.handler.mails == []


def test_a_webhook_is_signed_as_the_standard_has_it(catalog: Catalog, http: ThreadingHTTPServer):
    key = base64.b64encode(b"0123456789abcdef01234567").decode()
    catalog.ledger.refuse("gcs")
    [message] = later(catalog)
    assert deliver(catalog.outbox, to_hook(http, f"whsec_{key}")).sent == 1
    [(path, headers, body)] = http.requests
    assert path == "/hook"
    assert headers["webhook-id"] == message.id
    signed = f"{message.id}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.new(b"0123456789abcdef01234567", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    document = json.loads(body)
    assert (document["type"], document["data"]["provider"]) == ("pool.full", "gcs")


def test_the_signature_is_that_of_the_published_example():
    # https://github.com/standard-webhooks/standard-webhooks, the test vector of its libraries
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [204, 500])
def test_what_a_webhooks_url_holds_is_sent_and_not_shown(catalog: Catalog, http: ThreadingHTTPServer, status: int):
    http.status = status
    catalog.ledger.refuse("gcs")
    url = f"http://me:hunt%C3%A9r2@127.0.0.1:{http.server_port}/hök?token=hush"
    to = alerts(settings_of(webhooks=[{"url": url, "secret": "s3cret"}]))
    done = deliver(catalog.outbox, to)
    [(path, headers, _)] = http.requests
    assert path == "/h%C3%B6k?token=hush"
    assert headers["authorization"] == "Basic " + base64.b64encode("me:huntér2".encode()).decode()
    assert headers["host"] == f"127.0.0.1:{http.server_port}"
    assert done.problems == ([] if status == 204 else [f"the webhook at 127.0.0.1:{http.server_port} answered 500"])
    assert not [secret for secret in ("hunt", "hush") if secret in repr(to)]


@pytest.mark.parametrize("status", [500, 302, 404])
def test_a_webhook_that_does_not_take_it_is_tried_again(catalog: Catalog, http: ThreadingHTTPServer, status: int):
    http.status = status
    catalog.ledger.refuse("gcs")
    [problem] = deliver(catalog.outbox, to_hook(http)).problems
    assert f"answered {status}" in problem
    assert [path for path, _, _ in http.requests] == ["/hook"]
    assert len(later(catalog)) == 1


# In other words


def test_the_call_of_a_small_application(smtp: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="nobody is to be told"):
        trueup.send_storage_alert("gcs", used_gb=5.2, limit_gb=5.0)
    for name, value in {
        "MAILGUN_SMTP_HOST": "127.0.0.1",
        "MAILGUN_SMTP_PORT": str(smtp.port),
        "MAILGUN_SMTP_USER": "me",
        "MAILGUN_SMTP_PASSWORD": "hunter2",
        "ALERT_EMAIL_FROM": "alerts@example.com",
        "ALERT_EMAIL_TO": "one@example.com, two@example.com",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "trueup.toml").write_text('[alerts.email]\ntls = "none"\n')
    trueup.send_storage_alert("gcs", used_gb=5.2, limit_gb=5.0)
    assert smtp.handler.envelopes[0].rcpt_tos == ["one@example.com", "two@example.com"]
    assert smtp.handler.mails[0]["subject"] == "gcs is full: 5.20 GB of 5.00 GB used"
    smtp.handler.answer = "550 no"
    with pytest.raises(StoreError, match="550 no"):
        trueup.send_storage_alert("gcs", used_gb=5.2, limit_gb=5.0)


def test_a_providers_name_is_only_text():
    found = text.of(
        "pool.full", {"provider": "<b>\r\nBcc: x@y</b>", "used_bytes": 1, "limit_bytes": 0, "file_count": 1}
    )
    assert "\n" not in found.subject
    assert "&lt;b&gt; Bcc: x@y&lt;/b&gt;" in found.html


@pytest.mark.parametrize(
    "url",
    ["", "ftp://h/x", "http://[bad", "http://me:hunter2@", "http://h:port/x", "http://h:0/x", f"http://{'a' * 64}.de/"],
)
def test_a_webhooks_url_that_is_none_is_refused_and_not_shown(url: str):
    with pytest.raises(ConfigError, match="the url of one of") as caught:
        alerts(settings_of(webhooks=[{"url": url, "secret": "s3cret"}]))
    assert not url or url not in str(caught.value)


def test_a_webhook_without_a_secret_is_named_by_its_host_alone():
    with pytest.raises(ConfigError) as caught:
        alerts(settings_of(webhooks=[{"url": "https://me:hunter2@hooks.example.com:8443/x?token=hush"}]))
    assert caught.value.message == "the webhook at hooks.example.com:8443 has no secret"


def test_what_is_left_empty_between_commas_is_nobody():
    found = alerts(settings_of(email={"host": "h", "from": "a@example.com", "to": "a@example.com, ,"})).email
    assert found is not None
    assert found.to == ("a@example.com",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('[alerts]\nmail = "x"', "nothing else"),
        ('[alerts.email]\nhost = "h"', "needs host and to"),
        ('[alerts.email]\nhost = "h"\nto = ["me"]', "no address"),
        ('[alerts.email]\nhost = "h"\nto = 5', "no list of addresses"),
        ('[alerts.email]\nhost = "h"\nto = ", "', "needs host and to"),
        ('[alerts.email]\nhost = "h"\nto = ["a@b"]\nfrom = "a@b"\ntls = "some"', "tls = 'some'"),
        ('[alerts.email]\nhost = "h"\nto = ["a@b"]\nfrom = "a@b"\nport = 0', "port"),
        ('[alerts.email]\nhots = "h"', "hots is unknown"),
        ('[[alerts.webhooks]]\nurl = "ftp://x"', "url"),
        ('[[alerts.webhooks]]\nurl = "https://x"', "has no secret"),
        ('[alerts.webhooks]\nurl = "https://x"', "one for each"),
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, given: str, said: str):
    (tmp_path / "trueup.toml").write_text(given)
    with pytest.raises(ConfigError, match=said):
        alerts(load(tmp_path / "trueup.toml"))


# ----- looking at the mail server without sending


def test_the_mail_server_is_greeted_and_nothing_is_sent(smtp: Controller):
    email = to_mail(smtp).email
    assert email
    assert check_mail(email) == f"127.0.0.1:{smtp.port} answers"
    known = to_mail(smtp, user="me", password="hunter2").email
    assert known
    assert check_mail(known) == f"127.0.0.1:{smtp.port} lets me in"
    assert smtp.handler.mails == []


def test_a_mail_server_that_cannot_be_used_is_told_with_a_cure_and_no_password(smtp: Controller):
    for more, said, cure in (
        ({"user": "me", "password": "wrong-password"}, r"does not let me in \(SMTP 535\)", "user and password"),
        ({"tls": "starttls"}, "does not answer as a mail server with tls = 'starttls'", "587 is for starttls"),
        ({"tls": "tls"}, "does not answer as a mail server with tls = 'tls'", "465 for tls"),
        ({"port": free_port()}, "Connection refused", "host, port and tls"),
    ):
        email = to_mail(smtp, **more).email
        assert email
        with pytest.raises(StoreError, match=said) as caught:
            check_mail(email)
        assert cure in caught.value.cure
        assert "wrong-password" not in str(caught.value)
