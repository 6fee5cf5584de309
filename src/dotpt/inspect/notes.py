"""What a reader of a report should know besides, one sentence each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dotpt.errors import readable
from dotpt.inspect.summary import TensorSummary

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

_LAYOUTS = {
    "quantized": "are quantized: models of torch.ao.quantization load them, others need them dequantized",
    "meta": "are on the meta device: they have shapes and no values",
    "nested": "are nested: torch builds them from a buffer and sizes",
    "jagged": "are nested (jagged): torch builds them from values and offsets",
}
_BASE_NAME = re.compile(r"[^/\\]*$")


def notes_on(archive: Archive, summary: TensorSummary) -> list[str]:
    """The notes on a file."""
    contents = archive.contents
    notes = list(contents.notes)
    if contents.facts.get("byteorder") == "big":
        notes.append("It is big-endian; dotpt turns every tensor round by its own type (torch leaves some unturned).")
    for layout, count in summary.layouts.items():
        words = _LAYOUTS.get(layout, f"are {layout.replace('_', ' ')}")
        words = words if count != 1 else words.replace("are ", "is ", 1)
        notes.append(f"{count:,} tensor{'s' if count != 1 else ''} {words}.")
    renamed = _saved_as(archive)
    if renamed:
        notes.append(f"It was saved under the name {readable(renamed)[:80]}, and renamed since.")
    if contents.container.source.wrapped:
        wrapped = contents.container.source.wrapped
        notes.append(f"It is compressed as a whole ({wrapped}); sizes are those of its content.")
    others = [device for device in summary.devices if device not in ("cpu", "meta")]
    if others:
        notes.append(f"Tensors were saved on {', '.join(map(readable, others[:4]))}; dotpt loads them to the CPU.")
    return notes


def _saved_as(archive: Archive) -> str | None:
    """The name under which torch wrote a zip, where it is another than the file's: it names the top folder so."""
    root = archive.contents.facts.get("root")
    if archive.format not in ("zip", "torchscript") or type(root) is not str or root == "archive":
        return None
    match = _BASE_NAME.search(archive.name)
    name = match[0] if match else ""
    if not name or name.startswith("<") or "?" in name:
        return None
    return None if root in (name, name.rpartition(".")[0]) else root
