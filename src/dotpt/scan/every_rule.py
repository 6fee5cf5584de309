"""Every rule that a finding can have, those of the strict zip included, as one table.

What crosses this boundary: nothing in, `Rule` records by id out, for policies, for SARIF and for the documentation.
Invariant: a finding of any scan has a rule that is in it.
"""

from __future__ import annotations

from dotpt.container import ziprules
from dotpt.errors import TruncatedFile
from dotpt.scan.findings import UNREADABLE
from dotpt.scan.rules import RULES, Rule


def every_rule() -> dict[str, Rule]:
    """The rules by id, in the order of the table; those of zip files follow.

    Example:
        >>> every_rule()["dangerous-call"].severity, every_rule()["duplicate-record"].severity
        ('dangerous', 'suspicious')
    """
    return RULES | {rule: found for rule, found in _zip_rules().items() if rule not in RULES}


def _zip_rules() -> dict[str, Rule]:
    kinds = [kind for kind in vars(ziprules).values() if isinstance(kind, type) and issubclass(kind, ziprules.ZipError)]
    return {
        kind.rule: Rule(
            UNREADABLE if issubclass(kind, TruncatedFile) else "suspicious",
            " ".join((kind.__doc__ or "").split()),
            kind.hint or "",
        )
        for kind in kinds
        if kind is not ziprules.ZipError
    }
