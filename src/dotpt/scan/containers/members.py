"""The members of an archive, each looked into as a file of its own; what many of them share is reported once.

Python's code and native code are not judged: a program can do anything, so a scan says that there is one, and which.
Invariant: a name only ever decides between kinds of programs; a pickle that is called ``x.py`` is a pickle.
"""

from __future__ import annotations

from dotpt.container.sniff import sniff
from dotpt.scan.session import Session
from dotpt.source.base import Source

_SHOWN = 3
_PYTHON = (".py", ".pyi", ".pyc")
_NATIVE = (".so", ".o", ".a", ".dll", ".pyd", ".dylib", ".cubin", ".hsaco", ".ptx", ".exe")
_NATIVE_SOURCES = (".cpp", ".cc", ".c", ".cu", ".h")
_LIBRARY = b"!<arch>\n"
_MAGICS = (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", _LIBRARY)
_WORDS = {"python-code": "Python code", "native-code": "programs for a processor"}


class Members:
    """Looks into the members of one archive.

    Args:
        session: where findings go.
        doubtful: whether the archive is broken, so that bytes which are nothing known are no news.
        compiled: whether sources in C are a part of its programs.
    """

    def __init__(self, session: Session, *, doubtful: bool = False, compiled: bool = False) -> None:
        self._session = session
        self._doubtful = doubtful
        self._native = (*_NATIVE, *_NATIVE_SOURCES) if compiled else _NATIVE
        self._programs: dict[str, list[tuple[str, int]]] = {rule: [] for rule in _WORDS}

    def look(self, name: str, content: Source) -> bool:
        """Examine a member, or note it as a program; False where there are too many of them to go on."""
        from dotpt.scan.examine import examine

        if not self._session.may_look():
            return False
        rule = self._program(name, content) if content.size else None
        if rule is not None:
            self._session.findings.members += 1
            self._programs[rule].append((name, content.size))
            return True
        with self._session.inside(name) as allowed:
            if allowed:
                examine(self._session, content, whole=False, doubtful=self._doubtful)
        return True

    def report(self) -> None:
        """One finding for all programs of a kind."""
        for rule, files in self._programs.items():
            if files:
                shown = ", ".join(name for name, _ in files[:_SHOWN])
                rest = f" and {len(files) - _SHOWN:,} more" if len(files) > _SHOWN else ""
                size = sum(size for _, size in files)
                text = f"It holds {_WORDS[rule]}: {shown}{rest} ({size:,} bytes)."
                self._session.add(rule, text, record=files[0][0] if len(files) == 1 else "")
            files.clear()

    def _program(self, name: str, content: Source) -> str | None:
        lower = name.lower()
        head = content.read(0, min(content.size, 16))
        if not (lower.endswith((*_PYTHON, *self._native)) or head.startswith(_MAGICS)):
            return None
        sniffed = sniff(content)
        if sniffed.kind == "executable" or head.startswith(_LIBRARY):
            return "native-code"
        if sniffed.kind not in ("text", "unknown") or sniffed.details.get("also_pickle"):
            return None
        if lower.endswith(_PYTHON):
            is_compiled = lower.endswith(".pyc") and head[2:4] == b"\r\n"
            return "python-code" if sniffed.kind == "text" or is_compiled else None
        return "native-code" if lower.endswith(self._native) else None
