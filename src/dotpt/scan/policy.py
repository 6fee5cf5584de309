"""What a user allows: names, limits, severities, as one record.

`policy_files` reads one from TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from dotpt.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True, slots=True)
class Policy:
    """How a scan judges.

    Attributes:
        allow: names of classes and functions that are fine, globs allowed: ``my_package.nets.*``.
        severities: severities other than the default, by rule: ``info``, ``suspicious``, ``dangerous`` or ``off``.
        limits: what a file may ask for.
        exclude: globs of the paths that a scan of a folder leaves out.
        fail_on: the lowest severity with which `dotpt scan` exits with 1.
        verify: whether the bytes of tensors are compared with their checksums; None: where they are 64 MiB or less.

    Example:
        >>> Policy(allow=("my_package.*",)).allows("my_package.nets.Net")
        True
    """

    allow: tuple[str, ...] = ()
    severities: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    exclude: tuple[str, ...] = ()
    fail_on: str = "suspicious"
    verify: bool | None = None

    def allows(self, name: str) -> bool:
        """Whether a name is fine."""
        return any(fnmatchcase(name, glob) for glob in self.allow)

    def severity(self, rule: str, severity: str) -> str:
        """The severity of a finding of a rule. That something was not read cannot be overruled."""
        return severity if severity == "unreadable" else self.severities.get(rule, severity)
