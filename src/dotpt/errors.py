"""Every error dotpt raises, as one tree.

* DotptError
    * SourceError (OSError): the bytes could not be reached
        * SourceNotFound (FileNotFoundError)
        * SourceIsFolder (IsADirectoryError)
        * SourceDenied (PermissionError)
        * SourceChanged: the file changed while it was being read
        * RangesNotSupported: a server that cannot send a part of a file
    * WriteError (OSError, RuntimeError): the bytes could not be written; what was there before is untouched
        * NoSpace: the disk, a quota or the limit on the size of a file
        * WriteDenied (PermissionError)
        * FolderMissing (FileNotFoundError)
        * WriteIsFolder (IsADirectoryError)
    * NotATorchFile (pickle.UnpicklingError): the bytes are something else; the message says what
    * ContainerError (RuntimeError): the box around the records is damaged or ambiguous
        * TruncatedFile (EOFError)
        * ZipError: one class a rule, see `dotpt.container.ziprules`
        * ChecksumMismatch
        * RecordMissing (KeyError)
        * LegacyError, TarError, SafetensorsError, ShardError, ManifestError
    * PickleError (pickle.UnpicklingError): the opcode stream is malformed
        * UnsafeGlobal: the stream names classes or functions that are not known to be harmless
            * UnsafeScript (RuntimeError): they are those of a TorchScript archive
    * RefusedByGuard (pickle.UnpicklingError): a file that does not scan clean, while a `dotpt.guard` is active
    * CannotPickle (pickle.PicklingError, AttributeError, TypeError): an object that a pickle cannot hold
    * CannotBuild (RuntimeError): a trusted class that cannot be imported, or not be built from what the file says
        * CannotImport (ImportError): its module fails to import
            * ModuleMissing (ModuleNotFoundError)
        * NameMissing (AttributeError): its module has no such name
    * TensorError (RuntimeError): a tensor that does not fit its storage
    * SignatureError (ValueError): a signature that is malformed, or does not fit the key or the model
    * LimitExceeded (RuntimeError): a limit that keeps hostile files harmless was reached
    * UnsupportedError (NotImplementedError): recognised, and not read by this version
    * MissingDependency (ImportError): an optional package is needed
    * NoCheckpoint (LookupError): a run's folder has no such checkpoint, or none that is whole
    * RunInUse (RuntimeError): another process writes its checkpoints into the same folder
    * UsageError (ValueError): an argument that makes no sense
        * NotWritable (AttributeError, TypeError): something that is no destination
        * RulesError: rules that rename or reshape tensors, and that do not say how, or do not fit the tensors
        * CannotDescribe (TypeError): a model whose constructor's arguments are not known, or cannot be written down
    * FitError (RuntimeError): weights and a model do not fit together
    * OptimizerMismatch (ValueError): the saved state of an optimizer and an optimizer do not belong together
        * AmbiguousOptimizer: there are several, and nothing tells which is meant
        * NoOptimizer (KeyError): there is none where it was looked for
    * NoArchitecture (LookupError): a file that does not say how its model is built
    * ArgumentsChanged (TypeError): a class that no longer takes the arguments that a model was built with
    * ModelChanged (RuntimeError): the code of a saved model is no longer the one that it was saved with
    * OutputsDiffer (RuntimeError): a loaded model does not give the outputs that were recorded
    * NoWeights (KeyError): there are no weights where they were looked for
        * AmbiguousWeights: there are several, and nothing tells which are meant

And one warning, for a file that is loaded: ClassesChanged (UserWarning): its classes are not what they were.

A message is one sentence, then where, then ``Try: ...``. The facts of it are attributes, so a program need
not read the words.
"""

from __future__ import annotations

from pickle import PicklingError, UnpicklingError
from typing import Any


class DotptError(Exception):
    """Base of every error of dotpt.

    Args:
        problem: one sentence that says what is wrong.
        path: the file, as the user named it.
        record: the record (zip member, tar member, stream) in it.
        offset: the byte offset at which the problem was seen.
        key: the tensor or key concerned.
        found, expected: the two facts that disagree.
        hint: the next step to take, a sentence without "Try:".

    Example:
        >>> str(DotptError("The file is empty.", path="a.pt", hint="copy it again"))
        'The file is empty. (a.pt) Try: copy it again'
    """

    hint: str | None = None

    def __init__(
        self,
        problem: str,
        *,
        path: str | None = None,
        record: str | None = None,
        offset: int | None = None,
        key: str | None = None,
        found: Any = None,
        expected: Any = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path
        self.record = record
        self.offset = offset
        self.key = key
        self.found = found
        self.expected = expected
        if hint is not None:
            self.hint = hint

    @property
    def where(self) -> str:
        """The place, for people: path, record, key and byte offset, as far as known."""
        parts = [self.path, self.record and f"record {self.record}", self.key and f"key {self.key}"]
        if self.offset is not None:
            parts.append(f"byte {self.offset}")
        return ", ".join(readable(str(part)) for part in parts if part)

    def __str__(self) -> str:
        text = readable(self.problem)
        if self.where:
            text += f" ({self.where})"
        if self.hint:
            text += f" Try: {readable(self.hint)}"
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders (a data loader's worker): keep every fact."""
        facts = self.__dict__.copy()
        if isinstance(self, OSError) and self.errno is not None:
            facts["errno"] = self.errno  # OSError keeps it outside of __dict__
        if isinstance(self, (ImportError, AttributeError)):  # so do these
            facts |= {name: getattr(self, name) for name in ("name", "path") if getattr(self, name, None) is not None}
        return _rebuild_error, (type(self), facts, self.args)

    def to_dict(self) -> dict[str, Any]:
        """The facts as plain values, for ``--json``."""
        facts = {
            "error": type(self).__name__,
            "problem": self.problem,
            "path": self.path,
            "record": self.record,
            "offset": self.offset,
            "key": self.key,
            "found": None if self.found is None else str(self.found),
            "expected": None if self.expected is None else str(self.expected),
            "hint": self.hint,
        }
        return {name: value for name, value in facts.items() if value is not None}


def _rebuild_error(cls: type[DotptError], state: dict[str, Any], args: tuple[Any, ...]) -> DotptError:
    error = cls.__new__(cls, *args)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


def readable(text: str) -> str:
    """``text`` with everything a terminal would obey made visible.

    Names in a file are written by strangers: control characters, ANSI escapes, direction marks and lone
    surrogates are replaced by their escaped form.

    Example:
        >>> readable("a" + chr(27) + "[31mb")
        'a\\\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class SourceError(DotptError, OSError):
    """The bytes could not be reached or read."""


class SourceNotFound(SourceError, FileNotFoundError):
    """There is nothing at this path or address."""


class SourceIsFolder(SourceError, IsADirectoryError):
    """A folder was given where a file was expected."""


class SourceDenied(SourceError, PermissionError):
    """The file exists and may not be read."""


class SourceChanged(SourceError):
    """The file changed while it was being read."""


class RangesNotSupported(SourceError):
    """The server sends only whole files."""


class WriteError(DotptError, OSError, RuntimeError):
    """The bytes could not be written. What was at the destination is untouched, unless the message says otherwise.

    Attributes:
        size: how many bytes were to be written, as far as known.
    """

    size: int | None = None


class NoSpace(WriteError):
    """There is no room: the disk is full, a quota is used up, or files may not be that large."""


class WriteDenied(WriteError, PermissionError):
    """The destination or its folder may not be written to."""


class FolderMissing(WriteError, FileNotFoundError):
    """The folder that the file is to lie in does not exist."""


class WriteIsFolder(WriteError, IsADirectoryError):
    """A folder is where the file is to be."""


class NotATorchFile(DotptError, UnpicklingError):
    """The bytes are not a PyTorch file; the message says what they are."""


class ContainerError(DotptError, RuntimeError):
    """The container is damaged, ambiguous or breaks a rule."""


class TruncatedFile(ContainerError, EOFError):
    """The file ends before its content does."""


class ChecksumMismatch(ContainerError):
    """A record's bytes are not those that were written."""


class RecordMissing(ContainerError, KeyError):
    """A record that the file refers to is not in it."""

    __str__ = DotptError.__str__


class LegacyError(ContainerError):
    """The stacked-pickle format (torch before 1.6) is broken."""


class TarError(ContainerError):
    """The tar format (torch 0.1.x) is broken."""


class SafetensorsError(ContainerError):
    """A safetensors header breaks the rules of the format."""


class ShardError(ContainerError):
    """A sharded checkpoint's index and its shards disagree."""


class DeltaError(ContainerError):
    """A file that holds only what has changed since another one cannot be joined with that one."""


class BaseMissing(DeltaError):
    """The file that the unchanged tensors lie in is not where it should be; `expected` is its name."""


class BaseChanged(DeltaError):
    """There is a file of that name, with other tensors than those that are needed from it."""


class ManifestError(ContainerError):
    """What dotpt has added to a file, its manifest or its metadata, is broken. The tensors are another matter."""

    rule = "dotpt-record-broken"


class PickleError(DotptError, UnpicklingError):
    """The opcode stream is malformed."""


class UnsafeGlobal(PickleError):
    """The stream names classes or functions outside the known harmless ones.

    Attributes:
        globals: every such name, as `dotpt.GlobalName` records.
    """

    globals: tuple[Any, ...] = ()


class RefusedByGuard(DotptError, UnpicklingError):
    """Something was about to be loaded that does not scan clean, and `dotpt.guard` has kept it from being loaded.

    Attributes:
        findings: what the scan has found, as `dotpt.scan` gives it.
    """

    findings: Any = None


class CannotPickle(DotptError, PicklingError, AttributeError, TypeError):
    """An object that a pickle cannot hold; `key` is its address in what was saved, `found` its type."""


class CannotBuild(DotptError, RuntimeError):
    """A class or function that the user trusts could not be imported, or failed on what the file gives it.

    What was raised is the ``__cause__``; `found` is the name.
    """


class CannotImport(CannotBuild, ImportError):
    """The module of a trusted name raises as it is imported."""


class ModuleMissing(CannotImport, ModuleNotFoundError):
    """The module of a trusted name, or one that it imports, is not installed."""


class NameMissing(CannotBuild, AttributeError):
    """The module of a trusted name has no such class or function."""


class UnsafeScript(UnsafeGlobal, RuntimeError):
    """The unknown names are those of a TorchScript archive's own classes, whose code is in the file."""


class TensorError(DotptError, RuntimeError):
    """A tensor whose description and storage do not fit together."""


class SignatureError(DotptError, ValueError):
    """A signature that is malformed, is not that of the key, or is not for these bytes.

    Attributes:
        rule: what is wrong, a stable id, as `dotpt.verify` lists it: ``signature-mismatch``, ...
    """

    rule = "signature"

    def __init__(self, problem: str, *, rule: str = "signature", **facts: Any) -> None:
        super().__init__(problem, **facts)
        self.rule = rule


class LimitExceeded(DotptError, RuntimeError):
    """A limit that keeps hostile files harmless was reached.

    Args:
        limit: the name of the field of `dotpt.Limits`.
        actual: the amount the file asks for (or the first amount over the limit).
        allowed: the value of the limit.

    Example:
        >>> LimitExceeded("nesting", 5000, 1000).limit
        'nesting'
    """

    def __init__(self, limit: str, actual: int, allowed: int, **facts: Any) -> None:
        facts.setdefault("hint", f"if you trust the file, pass limits=dotpt.Limits({limit}=...) with a higher value")
        super().__init__(f"The file exceeds the limit `{limit}`: {actual:,} where {allowed:,} are allowed.", **facts)
        self.limit = limit
        self.actual = actual
        self.allowed = allowed


class UnsupportedError(DotptError, NotImplementedError):
    """The file is recognised, and this version does not read it."""


class MissingDependency(DotptError, ImportError):
    """An optional package is needed for this."""


class UsageError(DotptError, ValueError):
    """An argument that makes no sense."""


class NotWritable(UsageError, AttributeError, TypeError):
    """The destination is nothing that bytes can be written to."""


class RulesError(UsageError):
    """A rule that is no rule, does not fit the tensors that it matches, or cannot be turned round.

    `key` is the tensor concerned, `found` the rule as text.
    """


class NoWeights(DotptError, KeyError):
    """There are no weights where they were looked for; the message says what there is."""

    __str__ = DotptError.__str__


class AmbiguousWeights(NoWeights):
    """Several networks lie in one file, and nothing tells which is meant."""


class OptimizerMismatch(DotptError, ValueError):
    """The saved state of an optimizer and an optimizer do not belong together. The optimizer is as it was.

    Attributes:
        report: the `OptimizerReport`, if it came as far as that.
    """

    report: Any = None


class AmbiguousOptimizer(OptimizerMismatch):
    """Several optimizers lie in one file, and nothing tells which is meant; `found` is the list of their addresses."""


class NoOptimizer(OptimizerMismatch, KeyError):
    """There is no state of an optimizer where it was looked for; the message says what there is."""

    __str__ = DotptError.__str__


class FitError(DotptError, RuntimeError):
    """Weights and a model do not fit together. Unless the message says otherwise, the model is as it was.

    Attributes:
        report: the `FitReport`: what is missing, unexpected and of another shape.
        table: the most important rows of it, as text.
    """

    report: Any = None
    table: str = ""

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        hint = f"\nTry: {readable(self.hint)}" if self.hint else ""
        table = f"\n{readable(self.table)}" if self.table else ""
        return readable(self.problem) + where + table + hint


class CannotDescribe(UsageError, TypeError):
    """A model whose constructor's arguments are not known, or hold what the record cannot; `key` names the argument."""


class NoArchitecture(DotptError, LookupError):
    """The file holds weights, and nothing of the model that they belong to."""


class ArgumentsChanged(DotptError, TypeError):
    """A class does not take the arguments that the model was built with; `found` names those that do not fit."""


class ModelChanged(DotptError, RuntimeError):
    """The model that the code builds now is not of the structure that was saved."""


class OutputsDiffer(DotptError, RuntimeError):
    """A loaded model does not give the outputs that were recorded; `key` names the first that differs.

    Attributes:
        difference: the largest difference of two elements, or None if shapes or types differ already.
    """

    difference: float | None = None


class ClassesChanged(UserWarning):
    """Classes that a file names are not what they were when it was saved. What was loaded is as good as it can be.

    Attributes:
        changes: a record for each class: its name, what was filled in, what is missing (`ClassChange`).
    """

    changes: tuple[Any, ...] = ()


class RunInUse(DotptError, RuntimeError):
    """Another process, or another part of this one, writes its checkpoints into the same folder."""


class NoCheckpoint(DotptError, LookupError):
    """A run's folder has no such checkpoint, or none that is whole."""
