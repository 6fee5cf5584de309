"""The web server of the source tests, for whole files."""

from __future__ import annotations

from tests.source.conftest import server  # noqa: F401 - a fixture
