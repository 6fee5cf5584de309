"""What a file's manifest promises, against the file: the hash of each tensor, and which tensors the pickle has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dotpt.archive.verification import Deviation
from dotpt.container.record import Record
from dotpt.formats.draft import NamedRange
from dotpt.formats.manifest import COVERED, FOLDER, Listed, Manifest, Range, covers, readable_name
from dotpt.formats.record_names import MANIFEST
from dotpt.tensors.checking import Checked

_SHOWN = 5


class Promises:
    """A manifest on its way through `verify`.

    Args:
        manifest: as the file gives it.
        records: those of the file that can be read, as they are given to `check_records`.
        names: of all records, those that cannot be read included.

    Attributes:
        hashed: what `check_records` is to hash: ranges by number of the record.
        wrong: addresses of the tensors whose bytes do not have their hash, by name of the record.
        compared: how many tensors' hashes were compared.
        deviations: what the manifest says that cannot be so.
    """

    def __init__(self, manifest: Manifest, records: Sequence[Record], names: Iterable[str]) -> None:
        self.manifest = manifest
        self.hashed: dict[int, list[Range]] = {}
        self.wrong: dict[str, list[str]] = {}
        self.compared = 0
        self.deviations: list[Deviation] = []
        self._records = records
        self._numbers = {record.name: number for number, record in enumerate(records)}
        self._tensors: dict[str, list[str]] = {}
        self._unlisted: dict[str, list[str]] = {}
        self._read: set[str] = set()
        self._sound: set[int] = set()
        self._plan(set(names))

    def _plan(self, names: set[str]) -> None:
        """Which ranges to hash. A manifest that would have the same bytes hashed over and over is not obeyed."""
        ranges: dict[int, set[Range]] = {}
        nowhere = []
        for name, listed in self.manifest.tensors.items():
            number = self._numbers.get(listed.record)
            if listed.record not in names or not listed.record.startswith(FOLDER):
                nowhere.append(name)
                continue
            self._tensors.setdefault(listed.record, []).append(name)
            if number is not None and self._place(listed, number)[1] <= self._records[number].size:
                ranges.setdefault(number, set()).add(self._place(listed, number))
            elif number is not None:
                nowhere.append(name)
        if nowhere:
            self._deviate("wrong-place", f"The manifest places {_listed(nowhere)} where no tensor can be")
        for number, places in ranges.items():
            record = self._records[number]
            if covers(places) > COVERED * record.size:
                problem = f"The manifest lists overlapping ranges of a record, {COVERED} times its size or more"
                self._deviate("ranges", problem, record.name)
            else:
                self.hashed[number] = sorted(places)

    def _place(self, listed: Listed, number: int) -> Range:
        return listed.range or (0, self._records[number].size)

    # -- the bytes ----------------------------------------------------------------------------------------------------

    def compare(self, checked: Checked) -> None:
        """Take what the file's bytes gave."""
        matching: dict[int, list[Range]] = {}
        self._read = {self._records[number].name for number in checked.hashes}
        for name, listed in self.manifest.tensors.items():
            number = self._numbers.get(listed.record)
            if number is None:
                continue
            place = self._place(listed, number)
            found = checked.hashes.get(number, {}).get(place)
            if found is None:  # unreadable, or not asked for
                continue
            self.compared += 1
            if found == listed.hash:
                matching.setdefault(number, []).append(place)
            else:
                self.wrong.setdefault(listed.record, []).append(name)
        self._sound = {number for number, places in matching.items() if self._covers_all(number, places)}

    def _covers_all(self, number: int, places: list[Range]) -> bool:
        reached = 0
        for begin, end in sorted(places):
            if begin > reached:
                return False
            reached = max(reached, end)
        return reached == self._records[number].size

    def is_sound(self, number: int) -> bool:
        """Whether every byte of a record is covered by hashes, and all of these are right."""
        return number in self._sound and self._records[number].name not in self.wrong

    def damaged_in(self, record: str) -> list[str]:
        """Addresses of the tensors in a damaged record that may not be what was written: all without a right hash."""
        listed = self.wrong if record in self._read else self._tensors
        return listed.get(record, []) + self._unlisted.get(record, [])

    # -- the pickle ---------------------------------------------------------------------------------------------------

    def compare_pickle(self, tensors: Iterable[NamedRange], trusted: bool) -> None:
        """Take what the pickle says of its tensors.

        Args:
            trusted: whether it is undamaged; else it is no deviation that it says something else.
        """
        listed = dict(self.manifest.tensors)
        unlisted, moved = [], []
        for tensor in tensors:
            name, record = readable_name(tensor.name), FOLDER + tensor.key
            found = listed.pop(name, None)
            if found is None:
                unlisted.append(name)
                self._unlisted.setdefault(record, []).append(name)
            elif found.record != record or found.range not in (None, (tensor.begin, tensor.end)):
                moved.append(name)
        if not trusted:
            return
        if listed:
            self._deviate("unknown-tensor", f"The manifest lists {_listed([*listed])}, which the pickle does not have")
        if unlisted:
            self._deviate("unlisted-tensor", f"The pickle has {_listed(unlisted)}, which the manifest does not list")
        if moved:
            self._deviate("wrong-place", f"The pickle places {_listed(moved)} elsewhere than the manifest does")

    def _deviate(self, rule: str, text: str, record: str = MANIFEST) -> None:
        self.deviations.append(Deviation(f"manifest-{rule}", f"{text}.", None, record))


def _listed(names: list[str]) -> str:
    """Some names of tensors, and how many there are.

    Example:
        >>> _listed(["a", "b"])
        '2 tensors (a, b)'
    """
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    count = "a tensor" if len(names) == 1 else f"{len(names):,} tensors"
    return f"{count} ({', '.join(name[:100] for name in names[:_SHOWN])}{more})"
