from __future__ import annotations

from pathlib import Path

import pytest

from trueup import config
from trueup.config import SyncConfig, load, parse_size, resolve_secret, state_home, sync_config
from trueup.errors import ConfigError


@pytest.fixture
def toml(tmp_path: Path):
    def write(text: str, name: str = "trueup.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def test_without_a_file_everything_is_default(tmp_path: Path):
    settings = load()
    assert (settings.path, dict(settings.stores), dict(settings.jobs)) == (None, {}, {})
    assert settings.store("s3://b/p").url == "s3://b/p"


def test_a_file_names_stores_and_pairs(toml, tmp_path: Path):
    toml(
        """
        [stores.photos]
        url = "r2://photos"
        endpoint = "http://127.0.0.1:1"
        path_style = true
        [stores.disk]
        url = "data/here"
        [sync.nightly]
        left = "disk"
        right = "photos"
        mode = "push"
        delete = true
        exclude = ["*.tmp", "cache/"]
        max_delete = "10%"
        workers = 8
        bwlimit = "10M"
        """
    )
    settings = load()
    assert settings.path == Path("trueup.toml")
    assert settings.store("photos").options == {"endpoint": "http://127.0.0.1:1", "path_style": "true"}
    assert settings.store("disk").url == str(tmp_path / "data/here")
    job = settings.jobs["nightly"]
    assert (job.left, job.right) == ("disk", "photos")
    assert job.options == SyncConfig(
        mode="push", delete=True, exclude=("*.tmp", "cache/"), max_delete="10%", workers=8, bwlimit=10 << 20
    )


def test_the_environment_beats_the_env_file_which_beats_the_settings(toml, monkeypatch: pytest.MonkeyPatch):
    toml('[stores.r2]\nurl = "r2://a"\nendpoint = "file"\nregion = "file"\nkey = "file"\n')
    toml("TRUEUP_STORES__R2__ENDPOINT=dotenv\nTRUEUP_STORES__R2__REGION=dotenv\n", ".env")
    monkeypatch.setenv("TRUEUP_STORES__R2__ENDPOINT", "environment")
    assert load().store("r2").options == {"endpoint": "environment", "region": "dotenv", "key": "file"}


def test_the_environment_reaches_names_with_capitals_and_dashes(toml, monkeypatch: pytest.MonkeyPatch):
    toml('[stores.My-Photos]\nurl = "r2://a"\nregion = "file"\n')
    monkeypatch.setenv("TRUEUP_STORES__MY_PHOTOS__REGION", "environment")
    settings = load()
    assert settings.store("My-Photos").options == {"region": "environment"}
    assert list(settings.stores) == ["My-Photos"]


def test_the_environment_alone_can_name_a_store_and_a_pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TRUEUP_STORES__R2__URL", "r2://a")
    monkeypatch.setenv("TRUEUP_SYNC__NIGHTLY__LEFT", ".")
    monkeypatch.setenv("TRUEUP_SYNC__NIGHTLY__RIGHT", "r2")
    monkeypatch.setenv("TRUEUP_SYNC__NIGHTLY__DELETE", "yes")
    monkeypatch.setenv("TRUEUP_SYNC__NIGHTLY__EXCLUDE", "*.tmp,*.bak")
    settings = load()
    assert settings.store("r2").url == "r2://a"
    assert settings.jobs["nightly"].options == SyncConfig(delete=True, exclude=("*.tmp", "*.bak"))


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="trueup init"):
        load("other.toml")
    with pytest.raises(ConfigError, match=r"other\.env"):
        load(env_file="other.env")
    monkeypatch.setenv("TRUEUP_CONFIG", "third.toml")
    with pytest.raises(ConfigError, match="third"):
        load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sotres.a]\nurl='x'", "sotres"),
        ("[stores.a]\nendpoint='x'", "no url"),
        ("[stores.a]\nurl=3", r"\[stores.a\] url = 3 is no place"),
        ("[stores.a]\nurl=''", r"\[stores.a\] url = '' is no place"),
        ("[stores.a]\nurl='~nosuch/x'", r"\[stores.a\] url = '~nosuch/x' begins with a home folder"),
        ("[stores]\na='x'", r"\[stores\] a must be a table"),
        ("stores='x'", "must hold tables"),
        ("[sync.n]\nleft='a'", "no right"),
        ("[sync.n]\nleft=5\nright='b'", r"\[sync.n\] left = 5 is no place. Write a folder"),
        ("[sync.n]\nleft='a'\nright=['b']", r"\[sync.n\] right = \['b'\] is no place"),
        ("[sync.n]\nleft=''\nright='b'", r"\[sync.n\] left = '' is no place"),
        ("[sync.n]\nleft='~nosuch/x'\nright='b'", r"\[sync.n\] left = '~nosuch/x' begins with a home.*whole path"),
        ("[sync.n]\nleft='a'\nright=\"b\\u0000\"", r"\[sync.n\] right = .*NUL"),
        ("[sync.n]\nleft='a'\nright='b'\nmodes='push'", "modes is unknown"),
        ("[sync.n]\nleft='a'\nright='b'\nmode='shove'", "two-way, push, pull"),
        ("[sync.n]\nleft='a'\nright='b'\nprefer='best'", "prefer"),
        ("[sync.n]\nleft='a'\nright='b'\ndelete='perhaps'", "neither true nor false"),
        ("[sync.n]\nleft='a'\nright='b'\nworkers='many'", "whole number"),
        ("[sync.n]\nleft='a'\nright='b'\nworkers=257", "1 to 256"),
        ("[sync.n]\nleft='a'\nright='b'\nmax_delete='half'", "max_delete"),
        ("[sync.n]\nleft='a'\nright='b'\nbwlimit='fast'", "not a size"),
        ("[sync.n]\nleft='a'\nright='b'\ninclude=3", "include = 3 is not a list"),
        ("[sync.n]\nleft='a'\nright='b'\n__post_init__='x'", "__post_init__ is unknown"),
        ("[sync.n]\nleft='a'\nright='b'\nworkers='²'", "whole number"),
        ("not toml", "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(toml, text: str, said: str):
    toml(text)
    with pytest.raises(ConfigError, match=said):
        load()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "trueup.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"trueup\.toml cannot be read.*Save it as UTF-8"):
        load()
    (tmp_path / "trueup.toml").unlink()
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match=r"the environment file \.env cannot be read.*Save it as UTF-8"):
        load()


def test_a_file_of_comments_was_read(toml):
    toml("# [stores.a]\n")
    assert load().path == Path("trueup.toml")


def test_settings_of_the_environment_alone_name_no_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_STORES__R2__URL", "r2://a")
    assert load().path is None


def test_a_variable_of_no_section_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_STORE__R2__URL", "x")
    with pytest.raises(ConfigError, match="TRUEUP_STORE__R2__URL"):
        load()


def test_a_variable_below_a_value_is_refused(toml, monkeypatch: pytest.MonkeyPatch):
    toml("[stores.r2]\nurl = 'r2://a'\n")
    monkeypatch.setenv("TRUEUP_STORES__R2__URL__DEEPER", "x")
    with pytest.raises(ConfigError, match="names a value"):
        load()


def test_secrets_come_from_the_environment_or_a_file(toml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    toml("s3cret\n", "key.txt")
    assert resolve_secret("env:KEY", {"KEY": "v"}, tmp_path) == "v"
    assert resolve_secret("file:key.txt", {}, tmp_path) == "s3cret"
    assert resolve_secret("plain", {}, tmp_path) == "plain"
    with pytest.raises(ConfigError, match="NONE"):
        resolve_secret("env:NONE", {}, tmp_path)
    with pytest.raises(ConfigError, match="none"):
        resolve_secret("file:none", {}, tmp_path)
    toml("[stores.a]\nurl = 's3://b'\nsecret_access_key = 'env:KEY'\n")
    monkeypatch.setenv("KEY", "v")
    assert load().store("a").options["secret_access_key"] == "v"


def test_secrets_are_not_shown(toml, monkeypatch: pytest.MonkeyPatch):
    toml("[stores.a]\nurl = 's3://b'\nsecret_access_key = 'hunter2'\n")
    monkeypatch.setenv("SOME_SECRET", "hunter3")
    assert "hunter" not in repr(load())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("1k", 1024),
        ("5GiB", 5 << 30),
        ("1.5 MB", 3 << 19),
        ("10M/s", 10 << 20),
        (" 2 T ", 2 << 40),
    ],
)
def test_sizes_are_binary(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "5 apples", "1e3", "GiB"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ConfigError):
        parse_size(text)


def test_state_lives_where_the_platform_says(tmp_path: Path):
    assert state_home({"TRUEUP_HOME": "/x"}) == Path("/x")
    assert state_home({"TRUEUP_HOME": "~/x"}) == Path.home() / "x"
    assert state_home({"XDG_STATE_HOME": "/s"}) == Path("/s/trueup")
    assert state_home({}) == Path.home() / ".local/state/trueup"
    with pytest.raises(ConfigError, match=r"TRUEUP_HOME = '~nosuch/x' begins with a home folder that is not known"):
        state_home({"TRUEUP_HOME": "~nosuch/x"})


def test_a_user_without_a_home_is_asked_for_a_state_folder(monkeypatch: pytest.MonkeyPatch):
    import pwd

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # as in a container that runs under any user id
    with pytest.raises(ConfigError, match="Name a folder: TRUEUP_HOME"):
        state_home({})


def test_a_folder_whose_own_name_begins_with_a_tilde():
    assert config.local_path("./~nosuch/x") == Path("~nosuch/x")


def test_every_choice_is_accepted():
    for mode in config.MODES:
        for prefer in config.PREFERENCES:
            for compare in config.COMPARISONS:
                made = sync_config({"mode": mode, "prefer": prefer, "compare": compare})
                assert (made.mode, made.prefer, made.compare) == (mode, prefer, compare)


def test_a_jobs_path_is_relative_to_the_settings_file_and_a_stores_name_is_not(tmp_path):
    file = tmp_path / "conf" / "trueup.toml"
    file.parent.mkdir()
    file.write_text('[stores.r2]\nurl = "s3://b/p"\n[sync.site]\nleft = "media"\nright = "r2"\n')
    job = config.load(file).jobs["site"]
    assert job.left == str(file.parent / "media")
    assert job.right == "r2"
