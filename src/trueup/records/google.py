"""Asking Google: signed in as a service account, asked again while that can help, until a deadline."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests
from google.auth.exceptions import RefreshError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay

from trueup.records.cells import EXACT
from trueup.records.issues import BAD_ANSWER, CREDENTIALS, FORBIDDEN, NOT_FOUND, UNAVAILABLE, Trouble
from trueup.records.service_key import ServiceKey

Params = Sequence[tuple[str, str]]
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
"""Seconds."""
_SENSELESS: Final = 3
"""Answers without sense after which another is not asked for."""
_CHUNK: Final = 256
"""Bytes between two looks at the clock; a server that drips takes its time for each."""
_SHOWN: Final = 200
_LIMITS: Final = frozenset("rateLimitExceeded userRateLimitExceeded RATE_LIMIT_EXCEEDED".split())
"""Why Drive says 403 where others say 429."""

_OFF: Final = frozenset({"SERVICE_DISABLED", "accessNotConfigured"})


class _Passes(Exception):
    """What another try may get rid of."""

    def __init__(self, trouble: Trouble, after: float = 0.0) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble
        self.after = after
        """Seconds until which Google does not want to be asked."""


class Google:
    """Google for one service account. `timeout` is for one request; `deadline` for all that is lost by tries that fail
    and the pauses after them, of all requests until `renew`. Both in seconds.

    google-auth's own session is not used: it looks a boundary of regions up beside the first request, from a thread,
    and keeps asking on its own for a token that it does not get.
    """

    def __init__(self, key: ServiceKey, scopes: Iterable[str], *, timeout: float, deadline: float) -> None:
        self.email = key.email
        self.again = 0
        """Tries after the first, of all requests so far."""
        self._project = str(key.document.get("project_id", "of the service account"))
        self._credentials = key.sign_in(scopes)
        self._timeout = timeout
        self._deadline = self._left = deadline
        self._session = requests.Session()
        # Else a .netrc would put its password where the token stands.
        self._session.auth = lambda request: request

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def renew(self) -> None:
        """Begin the deadline anew."""
        self._left = self._deadline

    def ask(self, url: str, params: Params = (), *, what: str) -> dict[str, Any]:
        """Get an answer. `what` is asked for, in the words of messages. Raises `Trouble`."""
        left = self._left

        def lost(state: RetryCallState) -> None:
            self.again += 1
            self._left = left - (state.seconds_since_start or 0) - state.upcoming_sleep

        retrying = Retrying(
            retry=retry_if_exception_type(_Passes),
            wait=_pause,
            stop=lambda state: stop_before_delay(left)(state) or _senseless(state),
            before_sleep=lost,
            reraise=True,
        )
        try:
            return retrying(self._once, "GET", url, params, None, what, time.monotonic() + left)
        except _Passes as fault:
            raise fault.trouble from fault.__cause__

    def tell(self, url: str, body: Mapping[str, Any], *, what: str) -> dict[str, Any]:
        """Have something changed. It is tried once: what was true of the sheet is not after a pause. Raises
        `Trouble`."""
        try:
            return self._once("POST", url, (), body, what, time.monotonic() + self._timeout)
        except _Passes as fault:
            raise fault.trouble from fault.__cause__
        except Trouble as trouble:
            if trouble.code != FORBIDDEN:
                raise
            said = f"{self.email} may not write into {what}; make it an editor there"
            raise Trouble(FORBIDDEN, said) from None

    def _once(
        self, method: str, url: str, params: Params, body: Mapping[str, Any] | None, what: str, until: float
    ) -> dict[str, Any]:
        asked = {"params": list(params), "json": body}
        answer = self._signed(method, url, until, asked)
        if answer.status == 401:  # a token may be taken back before its time
            self._refresh(until)
            answer = self._signed(method, url, until, asked)
        if answer.status != 200:
            raise self._refused(answer, url, what)
        return _document(answer.data, what)

    def _signed(self, method: str, url: str, until: float, asked: Mapping[str, Any]) -> _Answer:
        if not self._credentials.valid:
            self._refresh(until)
        headers = {"authorization": f"Bearer {self._credentials.token}"}
        return self._send(method, url, until, {**asked, "headers": headers})

    def _send(self, method: str, url: str, until: float, asked: Mapping[str, Any]) -> _Answer:
        """An answer that is whole. A server that drips is not waited for."""
        timeout = max(0.001, min(self._timeout, until - time.monotonic()))
        stop = time.monotonic() + timeout
        try:
            with self._session.request(
                method, url, timeout=timeout, stream=True, allow_redirects=False, **asked
            ) as answer:
                pieces = []
                for piece in answer.iter_content(_CHUNK):
                    pieces.append(piece)
                    if time.monotonic() > stop:
                        raise requests.Timeout
                return _Answer(answer.status_code, answer.headers, b"".join(pieces))
        except requests.Timeout as error:
            raise _Passes(Trouble(UNAVAILABLE, f"Google did not answer within {timeout:.3g} s")) from error
        except OSError as error:  # all of requests' are; their text shows the insides of a process
            raise _Passes(Trouble(UNAVAILABLE, f"Google cannot be reached ({type(error).__name__})")) from error

    def _refresh(self, until: float) -> None:
        def ask(*, url: str, method: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
            return self._token(method, url, until, {"data": body, "headers": headers})

        try:
            self._credentials.refresh(ask)  # type: ignore[no-untyped-call]
        except RefreshError as error:
            raise Trouble(
                CREDENTIALS,
                f"Google does not accept the key of {self.email}{_grounds(error)}; see that it was not revoked",
            ) from None

    def _token(self, method: str, url: str, until: float, asked: Mapping[str, Any]) -> _Answer:
        """What google-auth asks through. It tries again on its own, without regard to the deadline, so what may pass is
        kept from it."""
        answer = self._send(method, url, until, asked)
        nothing = _Passes(Trouble(UNAVAILABLE, f"Google gives out no tokens (answer {answer.status})"), answer.after)
        try:
            document = json.loads(answer.data)
        except ValueError as error:
            raise nothing from error
        whole = isinstance(document, dict) and (answer.status != 200 or isinstance(document.get("access_token"), str))
        if answer.busy or not whole:
            raise nothing
        return answer

    def _refused(self, answer: _Answer, url: str, what: str) -> Exception:
        if answer.busy:
            return _Passes(Trouble(UNAVAILABLE, f"Google answered {answer.status}"), answer.after)
        if "html" in answer.headers.get("content-type", ""):  # from somebody in between
            return _Passes(Trouble(BAD_ANSWER, f"Google answered {answer.status} with a page for people"))
        said, reasons = _error(answer.data)
        if reasons & _LIMITS:
            return _Passes(Trouble(UNAVAILABLE, f"Google answered {answer.status}: too many requests"), answer.after)
        match answer.status:
            case 401:
                return Trouble(CREDENTIALS, f"Google does not accept the tokens of {self.email}")
            case 403 if reasons & _OFF:
                interface = "Drive" if "/drive/" in url else "Sheets"
                return Trouble(FORBIDDEN, f"the Google {interface} API is not enabled in the project {self._project}")
            case 403:
                return Trouble(FORBIDDEN, f"{what} is not shared with {self.email}; share it with that address")
            case 404:
                return Trouble(NOT_FOUND, f"{what} is not there")
        return Trouble(BAD_ANSWER, f"Google answered {answer.status}{f': {said}' if said else ''}")


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer, with the names that google-auth knows."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def busy(self) -> bool:
        """Whether a later try may fare better."""
        return self.status in {408, 429} or self.status >= 500

    @property
    def after(self) -> float:
        """Seconds until which it does not want to be asked: from a number of them or a date (RFC 9110)."""
        said = self.headers.get("retry-after", "").strip()
        if said.isdecimal():
            return float(said)
        try:
            return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):  # none, or without a zone
            return 0.0


def _document(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(content, parse_int=_whole, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _Passes(Trouble(BAD_ANSWER, f"Google's answer for {what} is no JSON, or not all of it")) from error
    if not isinstance(found, dict):
        raise _Passes(Trouble(BAD_ANSWER, f"Google's answer for {what} is not what it should be"))
    return found


def _whole(digits: str) -> int | float:
    """A sheet holds floats; written without a point they are not exact for that."""
    number = float(digits)
    return number if abs(number) > EXACT else int(digits)


def _no_number(name: str) -> float:
    raise ValueError(name)


def _error(content: bytes) -> tuple[str, set[str]]:
    """What an answer says went wrong, and the names it gives the reasons."""
    try:
        error = json.loads(content)["error"]
        inner = [*error.get("errors", []), *error.get("details", [])]
        reasons = {str(one.get("reason")) for one in inner}
        said = " ".join(str(error.get("message", "")).split())
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", set()
    return said[:_SHOWN], reasons


def _grounds(error: RefreshError) -> str:
    """What the token's server says, as ` (invalid_grant: …)`."""
    document = error.args[1] if len(error.args) > 1 else None
    if not isinstance(document, dict):
        return ""
    words = [document.get("error"), document.get("error_description")]
    said = ": ".join(" ".join(word.split()) for word in words if isinstance(word, str))
    return f" ({said[:_SHOWN]})" if said else ""


def _pause(state: RetryCallState) -> float:
    fault = _fault(state)
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (state.attempt_number - 1))
    # Many who were told the same time do not come back all at once.
    return fault.after + random.uniform(longest / 2, longest)  # noqa: S311 - nobody gains by guessing it


def _senseless(state: RetryCallState) -> bool:
    return _fault(state).trouble.code == BAD_ANSWER and state.attempt_number >= _SENSELESS


def _fault(state: RetryCallState) -> _Passes:
    assert state.outcome is not None
    fault = state.outcome.exception()
    assert isinstance(fault, _Passes)
    return fault
