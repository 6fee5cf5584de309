"""A policy as the command line has it: the same words as in Python, read without running them."""

from __future__ import annotations

import ast

from dotpt.errors import UsageError
from dotpt.training import policies
from dotpt.training.policies import Policy

_NAMES = ("All", "Best", "EveryEpochs", "EveryMinutes", "EverySteps", "Latest", "Never", "OnSignal", "Steps")


def policy_of(text: str) -> Policy:
    """The policy that ``text`` says: ``Latest(3) | Best(2, "val_loss", "min")``.

    Raises:
        UsageError: it says none; the message has the part that was not understood.

    Example:
        >>> policy_of("Latest(3) | Best(2, 'val_loss') & EverySteps(100)")
        Latest(count=3) | (Best(count=2, metric='val_loss', mode='min') & EverySteps(steps=100))
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{text!r} is no policy: {error}.", hint=_HINT) from error
    return _policy(node, text)


def _policy(node: ast.expr, text: str) -> Policy:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.BitAnd)):
        left, right = _policy(node.left, text), _policy(node.right, text)
        return left | right if isinstance(node.op, ast.BitOr) else left & right
    if isinstance(node, ast.Name):
        node = ast.Call(node, [], [])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMES:
        made = getattr(policies, node.func.id)
        try:
            given = [ast.literal_eval(value) for value in node.args]
            named = {str(one.arg): ast.literal_eval(one.value) for one in node.keywords}
            policy: Policy = made(*given, **named)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{text!r} is no policy: {error}.", hint=_HINT) from error
        return policy
    raise UsageError(f"{ast.unparse(node)!r} is no policy.", hint=_HINT)


_HINT = 'Latest(3) | Best(2, "val_loss", "min") | EverySteps(5000), of ' + ", ".join(_NAMES)
