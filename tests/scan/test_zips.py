"""Zip files: every kind, by every writer, is examined whole; what readers can take in two ways is looked at in both."""

from __future__ import annotations

import bz2
import io
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from dotpt.scan.scan import scan
from tests.corpus.zip_mutations import Archive, mutations, parse
from tests.scan.archives import EVIL, PLAIN, rules, torch_file, verdict, zipped

GOOD = Path("tests/corpus/fixtures/zip/state_dict.pt").read_bytes()
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
# what strict rules accept because no reader takes it for anything else
HARMLESS = frozenset((
    "cd_reversed", "data_padding_not_z", "data_extra_unknown", "data_byteorder_big_3", "data_byteorder_little_7",
    "name_long", "eocd_no_zip64",
))  # fmt: skip


class OneWay(io.BytesIO):
    """A file that cannot be sought in, so that sizes come behind the data."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_plain_archive_is_as_clean_as_what_is_in_it(method: int) -> None:
    texts = {"d/": b"", "d/readme.md": b"hello " * 100}
    assert verdict(zipped(texts | {"d/m.pt": torch_file()}, method)) == "clean"
    assert verdict(zipped(texts | {"d/m.pt": torch_file(EVIL)}, method)) == "dangerous"
    assert verdict(zipped(texts | {"d/notes.txt": EVIL}, method)) == "dangerous"


def test_a_streamed_archive() -> None:
    for pickle, expected in ((PLAIN, "clean"), (EVIL, "dangerous")):
        out = OneWay()
        with zipfile.ZipFile(out, "w", DEFLATED) as archive:
            archive.writestr("m.pt", torch_file(pickle))
            archive.writestr("n.txt", "x")
        assert verdict(out.getvalue()) == expected


def test_info_zips_archives(tmp_path: Path) -> None:
    if shutil.which("zip") is None:
        pytest.skip("zip is not installed")
    (tmp_path / "m.pt").write_bytes(torch_file())
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "n.bin").write_bytes(torch_file())
    for options in (["-r"], ["-0", "-r"], ["-9", "-X", "-r"]):
        subprocess.run(["zip", "-q", *options, "a.zip", "m.pt", "x"], cwd=tmp_path, check=True)
        assert verdict(tmp_path / "a.zip") == "clean", options
        (tmp_path / "a.zip").unlink()


def test_a_comment_is_said_and_harms_no_plain_archive() -> None:
    found = scan(zipped({"m.pt": torch_file()}, DEFLATED, b"made by me"))
    assert found.verdict == "clean"
    assert [finding.rule for finding in found.findings] == ["trailing-data"]
    assert verdict(mutations(GOOD)["eocd_comment"]) == "suspicious"  # torch writes none
    assert verdict(zipped({"m.pt": torch_file()}, DEFLATED, b"\0\1\2" + EVIL)) != "clean"


def test_an_archive_of_nothing() -> None:
    assert verdict(zipped({})) == "clean"


def test_archives_in_archives() -> None:
    for pickle, expected in ((PLAIN, "clean"), (EVIL, "dangerous")):
        data = torch_file(pickle)
        for method in (DEFLATED, STORED, DEFLATED):
            data = zipped({"inner": data}, method)
        found = scan(data)
        assert found.verdict == expected
        if pickle is EVIL:
            assert found.findings[0].member == "inner!inner!inner!data.pkl"


def test_deeper_than_anyone_packs_is_not_clean() -> None:
    data = torch_file()
    for _ in range(12):
        data = zipped({"inner": data})
    assert rules(data) == {"nested-too-deep"}
    assert verdict(data) == "unreadable"


@pytest.mark.parametrize("method", [BZIP2, LZMA])
def test_methods_that_torch_refuses_are_unpacked_all_the_same(method: int) -> None:
    assert verdict(zipped({"m.pt": torch_file()}, method)) == "unreadable"
    assert verdict(zipped({"m.pt": torch_file(EVIL)}, method)) == "dangerous"


# -- torch's own, tampered with -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(mutations(GOOD)))
def test_a_tampered_archive_is_not_clean(name: str) -> None:
    found = scan(mutations(GOOD)[name])
    assert found.verdict == "clean" if name in HARMLESS else found.verdict in ("suspicious", "unreadable")


@pytest.mark.parametrize("name", sorted(set(mutations(GOOD)) - {"data_pickle_missing"}))
def test_whatever_is_done_to_the_archive_a_dangerous_pickle_is_found(name: str) -> None:
    archive = parse(GOOD)
    entry = archive.find(b"data.pkl")
    entry.payload, entry.crc, entry.size = EVIL, zlib.crc32(EVIL), len(EVIL)
    entry.descriptor = b"PK\7\x08" + b"".join(n.to_bytes(4, "little") for n in (entry.crc, entry.size, entry.size))
    assert verdict(mutations(archive.write())[name]) == "dangerous"


def packed(archive: Archive, content: bytes, packer: object) -> bytes:
    """The archive, its first tensor replaced by a packed record of another name."""
    entry = archive.weights()
    entry.payload = packer(content)  # type: ignore[operator]
    entry.name = entry.name.split(b"/")[0] + b"/aside.bin"
    entry.size, entry.crc, entry.local_extra, entry.descriptor, entry.flags = (
        len(content),
        zlib.crc32(content),
        b"",
        b"",
        0,
    )
    entry.local = entry.crc, len(entry.payload), entry.size
    return archive.write()


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def test_each_view_is_looked_into() -> None:
    """The directory says stored and the local header deflated, or the other way round."""
    for local, central in ((8, 0), (0, 8), (12, 8)):
        archive = parse(GOOD)
        entry = archive.weights()
        data = packed(archive, EVIL, bz2.compress if local == 12 else deflated)
        entry.local_method, entry.method, entry.cd_size = local, central, len(EVIL)
        assert data != archive.write()
        assert verdict(archive.write()) == "dangerous", (local, central)


def test_a_member_that_claims_to_be_encrypted_is_tried() -> None:
    """Readers that do not look at the flag read it."""
    archive = parse(GOOD)
    entry = archive.weights()
    packed(archive, EVIL, deflated)
    entry.method, entry.flags = 8, 1
    assert {"encrypted-record", "dangerous-call"} <= rules(archive.write())


def test_a_record_that_the_directory_leaves_out() -> None:
    archive = parse(GOOD)
    entry = archive.weights()
    packed(archive, EVIL, deflated)
    entry.method = 8
    archive.directory = [other for other in archive.entries if other is not entry]
    assert verdict(archive.write()) == "dangerous"


def test_what_stands_before_and_behind() -> None:
    evil = zipped({"a": EVIL}, DEFLATED)
    assert verdict(evil + GOOD) == "dangerous"
    assert verdict(GOOD + evil) == "dangerous"
    assert verdict(b"\0" * 100 + evil) == "dangerous"
    assert verdict(b"GIF89a" + bytes(50) + evil) == "dangerous"
    assert verdict(GOOD + bytes(70_000) + evil) == "dangerous"


def test_several_deviations_are_all_reported() -> None:
    archive = parse(GOOD)
    archive.weights().crc ^= 1
    pickle = archive.find(b"data.pkl")
    pickle.local_name = pickle.name.replace(b"data.pkl", b"dbta.pkl")
    assert {"local-header-mismatch", "checksum-mismatch"} <= rules(archive.write() + b"x")


def test_a_wrong_checksum_does_not_hide_a_member() -> None:
    data = bytearray(zipped({"a.bin": torch_file(EVIL)}))
    at = data.index(b"PK\1\2")
    for place in (14, at + 16):
        data[place] ^= 0xFF
    assert {"checksum-mismatch", "dangerous-call"} <= rules(bytes(data))
