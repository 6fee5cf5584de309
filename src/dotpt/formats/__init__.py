"""Whole files. One small file a format; this one picks it by the first bytes of the source."""

from __future__ import annotations

from dotpt.formats.contents import Contents as Contents
from dotpt.formats.contents import ReadOptions as ReadOptions
from dotpt.source.base import Source


def read_contents(source: Source, options: ReadOptions) -> Contents:
    """Decode a file of any known format, without the bytes of its tensors.

    Raises:
        NotATorchFile: it is something else; the message says what.
        DotptError: it is damaged, hostile or unsupported.
    """
    if source.size >= 4 and source.read(0, 4) == b"PK\x03\x04":
        from dotpt.container.zip import ZipContainer
        from dotpt.formats import pt_zip

        container = ZipContainer(source, options.limits)
        if not source.remote:  # where each check would be a round trip, a record is checked when it is read
            container.check_layout()
        return pt_zip.read(container, options)
    from dotpt.container.sniff import not_a_torch_file, sniff

    sniffed = sniff(source)
    if sniffed.kind in ("legacy", "pickle"):
        from dotpt.formats import pt_legacy

        return pt_legacy.read(source, options)
    if sniffed.kind == "tar":
        from dotpt.formats import pt_tar

        return pt_tar.read(source, options)
    if sniffed.kind == "safetensors":
        from dotpt.formats import safetensors

        return safetensors.read(source, options)
    raise not_a_torch_file(sniffed, source)
