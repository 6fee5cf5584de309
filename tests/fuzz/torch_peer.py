"""Oracle (c): torch.load(weights_only=True) in a child process. Same tensors, or a reason that `reasons` knows.

torch may crash on a damaged file; then the child is started anew, and the crash is torch's unless dotpt had not come
back.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from typing import Any

from . import reasons
from .child import Child, Died
from .oracles import Violation

HAS_TORCH = importlib.util.find_spec("torch") is not None and sys.platform.startswith("linux")


class Peer:
    """The child that has torch. `counts` says how the cases ended."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.child = Child("tests.fuzz.torch_child")

    def ask(self, data: bytes) -> dict[str, Any]:
        """What dotpt and torch say of a file; ``{"crash": who}`` if one of them ended the process or hung."""
        try:
            reply: dict[str, Any] = json.loads(self.child.ask(data, first=1))
            return reply
        except Died as end:
            return {"crash": "torch" if end.answered else "dotpt", "code": end.code}

    def agrees(self, data: bytes) -> None:
        """Raise unless the two give the same, or differ for a reason that is known."""
        reply = self.ask(data)
        if "crash" in reply:
            self.counts[f"crash of {reply['crash']}"] += 1
            if reply["crash"] == "dotpt":
                raise Violation(f"dotpt ends the process (exit code {reply['code']})")
            return
        ours, theirs, difference = reply["dotpt"], reply["torch"], reply["difference"]
        if ours is None and theirs is None:
            known = difference and reasons.of_difference(difference, reply.get("byteorder", ""))
            self.counts["both read it" if not difference else f"known difference: {known}"] += 1
            if difference and not known:
                raise Violation(f"torch reads something else: {difference}")
        elif ours is None:
            self.counts["only dotpt reads it"] += 1
        elif theirs is None:
            reason = reasons.of_refusal(ours)
            self.counts[f"refused: {reason}"] += 1
            if reason is None:
                raise Violation(f"torch reads what dotpt refuses without a known reason: {ours}")
        else:
            self.counts["neither reads it"] += 1


PEER = Peer()
