"""The admin page of the credentials: what it stores, and what it never shows."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client, override_settings

from trueup.contrib.django.models import StorageCredential

LIST = "/admin/trueup/storagecredential/"
ADD = f"{LIST}add/"
CHANGE = f"{LIST}1/change/"
GIVEN = {
    "access_key_id": "an-access-key",
    "secret_access_key": "a-long-secret",
    "endpoint_url": "https://account.r2.cloudflarestorage.com",
    "bucket_name": "my-bucket",
    "region": "",
}


def stored() -> StorageCredential:
    return StorageCredential.objects.get()


def page(admin: Client, url: str) -> str:
    answer = admin.get(url, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_credential_is_saved_and_its_secrets_are_neither_in_the_page_nor_in_the_file(admin: Client, database: Path):
    answer = admin.post(ADD, GIVEN, follow=True)
    assert "was added successfully" in answer.content.decode()
    for name, value in GIVEN.items():
        assert stored().opened(name) == value
    for url in (LIST, CHANGE, f"{LIST}1/history/", f"{LIST}1/delete/", "/admin/"):
        shown = page(admin, url)
        assert "a-long-secret" not in shown, url
        assert "an-access-key" not in shown, url
    form = page(admin, CHANGE)
    assert form.count("A value is stored. Leave this empty to keep it.") == 2
    assert 'value="my-bucket"' in form, "what is no secret can be read"
    connection.close()
    held = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert not [value for value in GIVEN.values() if value and value.encode() in held]


def test_an_empty_secret_is_kept_and_a_given_one_replaces_it(admin: Client):
    admin.post(ADD, GIVEN)
    token = stored().secret_access_key
    admin.post(CHANGE, GIVEN | {"access_key_id": "", "secret_access_key": "", "bucket_name": "other"})
    assert stored().secret_access_key == token
    assert stored().opened("access_key_id") == "an-access-key"
    assert stored().opened("bucket_name") == "other"
    admin.post(CHANGE, GIVEN | {"access_key_id": "", "secret_access_key": "new-secret"})
    assert stored().opened("secret_access_key") == "new-secret"


def test_what_is_shown_can_be_emptied(admin: Client):
    admin.post(ADD, GIVEN)
    admin.post(CHANGE, GIVEN | {"endpoint_url": ""})
    assert stored().opened("endpoint_url") == ""


def test_there_is_nothing_to_add_beside_the_one_set(admin: Client):
    admin.post(ADD, GIVEN)
    assert admin.get(ADD).status_code == 403


def test_an_endpoint_or_bucket_nobody_could_use_is_said_at_the_form(admin: Client):
    for wrong in ({"endpoint_url": "ftp://x"}, {"bucket_name": "a/b"}):
        answer = admin.post(ADD, GIVEN | wrong)
        assert answer.status_code == 200
        assert "errorlist" in answer.content.decode()
        assert "a-long-secret" not in answer.content.decode(), "not even in a form that comes back"
    assert not StorageCredential.objects.exists()


def test_a_value_that_cannot_be_decrypted_can_be_entered_again(admin: Client):
    admin.post(ADD, GIVEN)
    user = admin.session["_auth_user_id"]
    with override_settings(SECRET_KEY="another"):
        admin.force_login(get_user_model().objects.get(pk=user))  # sessions were signed with the old key
        assert "stored under another SECRET_KEY" in page(admin, CHANGE)
        kept = stored().access_key_id
        admin.post(CHANGE, dict.fromkeys(GIVEN, "") | {"secret_access_key": "entered-again"})
        assert stored().opened("secret_access_key") == "entered-again"
        assert stored().access_key_id == kept, "what is left empty is still there for whoever finds the old key"


def test_who_may_only_look_sees_no_secret_either(admin: Client):
    admin.post(ADD, GIVEN)
    looker = get_user_model().objects.create_user("bob", password="b-password", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_storagecredential"))
    browser = Client()
    browser.force_login(looker)
    shown = page(browser, CHANGE)
    assert "(stored)" in shown
    assert not [value for name, value in GIVEN.items() if value and name != "region" and value in shown]
    assert browser.post(CHANGE, GIVEN).status_code == 403


def test_nobody_sees_it_without_the_right_to(database: Path):
    answer = Client().get(LIST)
    assert (answer.status_code, "/login/" in answer["Location"]) == (302, True)
