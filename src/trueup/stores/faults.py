"""What OpenDAL says went wrong, as an error of ours. Classified by the service's own code where there is one, because
OpenDAL calls an expired token or a name that is too long merely `Unexpected`."""

from __future__ import annotations

import re
from typing import Final

from trueup import errors, keys
from trueup.errors import StoreError
from trueup.stores.place import Place

_CODE: Final = re.compile(r'code: "([A-Za-z0-9]+)"|"x-ms-error-code": "([A-Za-z0-9]+)"|<Code>([A-Za-z0-9]+)</Code>')
_CONTEXT: Final = re.compile(r", context: \{.*\}(?= =>|$)")
_STATUS: Final = re.compile(r"status: (\d{3})")
_MESSAGE: Final = re.compile(r'message: "((?:[^"\\]|\\.)*)"')

_EXPIRED: Final = "Sign in again, or set fresh credentials"
_WRONG: Final = "Check the access key, the secret and the region of this store"
_RIGHTS: Final = "Give these credentials the right to do so"
_BUCKET: Final = "Create it with your provider, or correct the name; buckets are never created here"
_CLOCK: Final = "Set this machine's clock"
_WAIT: Final = "Try again later, or with fewer workers"
_ARCHIVED: Final = "Restore it from the archive tier first"
_LONG: Final = "Shorten it; a bucket allows 1,024 bytes"
_KMS: Final = "Allow these credentials to use the bucket's encryption key"
_REGION: Final = "Set the option region to where the bucket is"
_HEADER: Final = "Set its Content-Disposition or Content-Type anew, in ASCII"
_ENDPOINT: Final = "See whether the endpoint of this store is right; if it is, try again later"
_CHANGED: Final = "Run again to look at it afresh"
_BARE: Final = re.compile(r"\w+ \(\w+\) at \S*")
"""What OpenDAL says of an answer that has nothing in it."""
_CLOUDS: Final = frozenset({"s3", "gcs", "azblob"})

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_BY_CODE: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    **dict.fromkeys(
        ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"],
        (errors.CredentialsExpired, "the credentials have expired", _EXPIRED),
    ),
    **dict.fromkeys(
        ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed",
         "InvalidAuthenticationInfo",
         "InvalidClientTokenId", "UnrecognizedClientException", "AuthorizationHeaderMalformed", "InvalidSecurity"],
        (errors.AccessDenied, "the credentials are wrong", _WRONG),
    ),
    **dict.fromkeys(
        ["AccessDenied", "AllAccessDisabled", "AccountProblem", "AuthorizationFailure", "Unauthorized",
         "AuthorizationPermissionMismatch", "InsufficientAccountPermissions", "AuthorizationResourceTypeMismatch"],
        (errors.AccessDenied, "access was denied", _RIGHTS),
    ),
    **dict.fromkeys(["NoAuthenticationInformation"], (errors.AccessDenied, "no credentials were found", _WRONG)),
    **dict.fromkeys(["RequestTimeTooSkewed"], (errors.AccessDenied, "this machine's clock is wrong", _CLOCK)),
    **dict.fromkeys(["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"],
                    (errors.BucketMissing, "the bucket is not there", _BUCKET)),
    **dict.fromkeys(["NoSuchKey", "NoSuchVersion", "BlobNotFound", "ResourceNotFound"],
                    (errors.NotFound, "it is not there", "")),
    **dict.fromkeys(["PreconditionFailed", "ConditionalRequestConflict", "ConditionNotMet", "BlobAlreadyExists",
                     "TargetConditionNotMet", "SourceConditionNotMet"],
                    (errors.PreconditionFailed, "it is no longer what it was", _CHANGED)),
    **dict.fromkeys(["InvalidObjectState", "BlobArchived", "BlobBeingRehydrated"],
                    (errors.Archived, "it lies in an archive tier", _ARCHIVED)),
    **dict.fromkeys(["KeyTooLongError", "OutOfRangeInput", "InvalidBlobOrBlock"],
                    (errors.Unaddressable, "the name is too long or unusable there", _LONG)),
    **dict.fromkeys(["InvalidURI", "InvalidResourceName", "InvalidUri"],
                    (errors.Unaddressable, "the server refuses this name", "Rename it")),
    **dict.fromkeys(["SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "TooManyRequests", "ServerBusy",
                     "OperationTimedOut", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException"],
                    (errors.Unreachable, "the server is overloaded or in trouble", _WAIT)),
    **dict.fromkeys(["PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"],
                    (StoreError, "the bucket is in another region", _REGION)),
    **dict.fromkeys(["QuotaExceeded", "AccountQuotaExceeded", "EntityTooLarge", "InsufficientStorage"],
                    (errors.NoSpace, "there is no room for it", "Make room, or raise the quota")),
}  # fmt: skip
_BY_STATUS: Final[dict[int, tuple[type[StoreError], str, str]]] = {
    301: _BY_CODE["PermanentRedirect"],
    307: _BY_CODE["TemporaryRedirect"],
    401: _BY_CODE["InvalidAccessKeyId"],
    403: _BY_CODE["AccessDenied"],
    404: _BY_CODE["NoSuchKey"],
    408: _BY_CODE["RequestTimeout"],
    412: _BY_CODE["PreconditionFailed"],
    429: _BY_CODE["SlowDown"],
    507: _BY_CODE["QuotaExceeded"],
}
_BY_PHRASE: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    **dict.fromkeys(["invalid_grant", "token has expired", "sso token", "token is expired"], _BY_CODE["ExpiredToken"]),
    **dict.fromkeys(
        ["failed to load signing credential", "no valid credential found", "load credential"],
        (errors.AccessDenied, "no credentials were found", "Set them in the environment or in trueup.toml"),
    ),
    # Something else answers: a sign-in page, a proxy, another service.
    **dict.fromkeys(
        ["=> deserialize xml", "=> deserialize json"],
        (errors.Unreachable, "the server answered, but not as storage of this kind does", _ENDPOINT),
    ),
    "error following redirect: too many": (errors.Unreachable, "the server redirects without end", _ENDPOINT),
    "region is missing": (StoreError, "its region is not known", "Set AWS_REGION, or the option region of this store"),
    # One object's fault: whoever took it for the server's would give up on all others.
    "header value must be valid utf-8": (StoreError, "the client cannot read a header that is no plain text", _HEADER),
}
_BY_KIND: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    "NotFound": _BY_CODE["NoSuchKey"],
    "PermissionDenied": _BY_CODE["AccessDenied"],
    "ConditionNotMatch": _BY_CODE["PreconditionFailed"],
    "AlreadyExists": _BY_CODE["PreconditionFailed"],
    "RateLimited": _BY_CODE["SlowDown"],
}


def translate(kind: str, text: str, place: Place, *, doing: str, key: str = "") -> StoreError:
    """The error of ours for OpenDAL's exception class `kind` with message `text`, met while `doing` something to `key`
    (empty: the bucket itself). One line, without secrets."""
    what, said, cure = _classify(kind, text, has_key=bool(key))
    if what is errors.NotFound and doing == "write" and not _CODE.search(text):
        what, said, cure = StoreError, "the server answered 404", "It may not take such a name"
    subject = f"'{keys.display(key)}' in {place.url}" if key else place.url
    detail = place.scrub(_detail(text)) if what is StoreError else ""
    if what is errors.BucketMissing:
        subject = place.url
    if cure == _WRONG and place.service not in _CLOUDS:
        cure = f"Check the user, the password or the token in [stores.{place.bucket}]"
    return what(f"cannot {doing} {subject}: {said}{f' ({detail})' if detail else ''}", cure=cure)


def names_bucket(text: str) -> bool:
    """Whether a *not found* is about the bucket itself."""
    return _classify("NotFound", text, has_key=True)[0] is errors.BucketMissing


def _classify(kind: str, text: str, *, has_key: bool) -> tuple[type[StoreError], str, str]:
    head = text.partition("\n\nContext:")[0]
    code = _CODE.search(head) or _CODE.search(text)
    name = next(filter(None, code.groups()), "") if code else ""
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    if "KMS." in text or name.startswith("KMS"):
        return errors.AccessDenied, "the encryption key of the bucket refused", _KMS
    if name == "AccessDenied" and "expired" in head:
        return _BY_CODE["ExpiredToken"]
    if name in _BY_CODE:
        found_error = _BY_CODE[name]
        if found_error[0] is errors.NotFound and not has_key:
            return _BY_CODE["NoSuchBucket"]
        return found_error
    if (status == 404 and not has_key) or '"The specified bucket does not exist' in head:
        return _BY_CODE["NoSuchBucket"]
    lowered = text.lower()
    for phrase, found_error in _BY_PHRASE.items():
        if phrase in lowered:
            return found_error
    if status >= 500 and status != 507:
        return errors.Unreachable, f"the server answered {status}", _WAIT
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if not status and ("error sending request" in lowered or "dns error" in lowered or "connect" in lowered):
        why = re.search(
            r"(Connection refused|dns error|Connection reset|certificate[^\n(]*|timed out)", text, re.IGNORECASE
        )
        said = f"the endpoint cannot be reached{f' ({why[1].strip()})' if why else ''}"
        return errors.Unreachable, said, "Check the endpoint and the network"
    if "timeout" in lowered or "timed out" in lowered:
        return errors.Unreachable, "the server did not answer in time", "Try again, or raise the option timeout"
    if "(temporary)" in head or "(persistent)" in head:
        return errors.Unreachable, "the connection broke off", _WAIT
    message = _MESSAGE.search(head)
    # An answer to HEAD has no body, whoever gives it.
    if status and not name and not (message and message[1]) and "HeadObject" not in text:
        return StoreError, f"the server answered {status}, but not as storage of this kind does", _ENDPOINT
    return StoreError, "the server refused", ""


def _detail(text: str) -> str:
    """The service's own sentence, else OpenDAL's first line."""
    head = _CONTEXT.sub("", text.partition("\n")[0])
    found = _MESSAGE.search(head)
    code = _CODE.search(text)
    name = next(filter(None, code.groups()), "") if code else ""
    said = (found[1] if found else head.partition(" => ")[2] or _BARE.sub("", head)).strip()
    return ": ".join(filter(None, (name, said)))[:300]
