from tests.cli.conftest import cli, spawn  # noqa: F401 - fixtures are found by name
