"""The web server of the source tests, for whole archives."""

from __future__ import annotations

from tests.source.conftest import ranges, server, whole  # noqa: F401 - fixtures
