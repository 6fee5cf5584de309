"""A module that a user trusts one class of, for the attacks on ``trust=``. It must not be left by any road."""

from __future__ import annotations

import os
import subprocess
from os import system
from typing import Any

#: What was called that must not be.
CALLED: list[Any] = []


class Net:
    """The one class that is trusted."""

    reach = staticmethod(os.getcwd)

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __call__(self, *arguments: Any) -> Any:
        """Must not be called: nobody trusts instances."""
        CALLED.append(arguments)
        return self


def other(*arguments: Any) -> Any:
    """Stand beside it, untrusted."""
    CALLED.append(arguments)


__all__ = ["CALLED", "Net", "os", "other", "subprocess", "system"]
