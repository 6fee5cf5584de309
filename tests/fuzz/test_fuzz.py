"""A short run of every fuzzing target, the same one each time. `make fuzz` runs them for as long as you like."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz import mutants, opcodes, oracles, reasons
from tests.fuzz.choices import Seeded, cases
from tests.fuzz.reference import Reference
from tests.fuzz.targets import TARGETS, available
from tests.fuzz.torch_peer import HAS_TORCH

EXAMPLES = {
    "honest": 400,
    "stream": 300,
    "names": 400,
    "zip": 300,
    "tensor": 300,
    "mutant": 300,
    "torch": 400,
    "scan": 200,
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.torch) if t.torch else n for n, t in TARGETS.items()]
)
def test_the_oracles_hold(name: str) -> None:
    if name not in available():
        pytest.skip("torch is not installed, or this is not Linux")
    target = TARGETS[name]

    @settings(
        max_examples=EXAMPLES[name],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(cases(target.make))
    def run(case: tuple[bytes, ...]) -> None:
        target.check(*case)

    run()


def test_the_generators_reach_what_they_are_for() -> None:
    honest = [
        stream for n in range(300) if (stream := opcodes.honest(Seeded(n))).find(b"\xc3") < 0
    ]  # pickletools refuses such names
    used = {op[0] for stream in honest for op in opcodes.split(stream)}
    assert len(used) > 50  # of the 68 opcodes; the rest is of hostile streams alone
    assert {stream[1] for stream in honest if stream[:1] == b"\x80"} == {2, 3, 4, 5}
    assert all(Reference(stream, encoding="latin1").load is not None for stream in honest)
    assert len({mutants.mutant(Seeded(n)) for n in range(200)}) > 150
    assert len(mutants.files()) > 300


def test_an_oracle_sees_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        raise KeyError("an untyped error")

    monkeypatch.setitem(oracles.VERBS, "load", broken)
    with pytest.raises(oracles.Violation, match="load raises KeyError"):
        oracles.survive(b"")
    monkeypatch.setitem(oracles.VERBS, "load", lambda data: bytearray(oracles.BYTES + oracles.MIB))
    monkeypatch.setattr(oracles, "MEASURED", 1)
    with pytest.raises(oracles.Violation, match="bytes of memory"):
        oracles.survive(b"")
    with pytest.raises(oracles.Violation, match="honest stream is refused"):
        oracles.machines_agree(b"\x80\x02\xff.", must_accept=True)


def test_a_refusal_without_a_reason_is_a_find() -> None:
    known = {"error": "ChecksumMismatch", "rule": None, "problem": "The record is damaged."}
    assert reasons.of_refusal(known)
    assert reasons.of_refusal({**known, "error": "PickleError"}) is None
    assert reasons.of_difference("[0]: byte 1 of 4 is 0x00 in a, 0x01 in b", "little") is None


@pytest.mark.torch
@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed, or this is not Linux")
def test_a_child_that_dies_is_started_again() -> None:
    from tests.corpus.torch_zip import pt
    from tests.fuzz.torch_peer import Peer

    peer = Peer()
    try:
        good = pt(b"\x80\x02}.")
        assert peer.ask(good) == {"dotpt": None, "torch": None, "difference": None}
        assert peer.child.process is not None
        peer.child.process.kill()
        peer.child.process.wait()
        assert "crash" in peer.ask(good)
        assert peer.ask(good)["difference"] is None
    finally:
        peer.child.close()
