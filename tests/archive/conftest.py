"""The web server of the source tests, for whole archives."""

from __future__ import annotations

from tests.source.conftest import ranges as ranges
from tests.source.conftest import server as server
from tests.source.conftest import whole as whole
