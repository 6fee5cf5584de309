"""Every attack that is known to us, in one table: `ATTACKS`, by name.

gadgets.py        functions that run code, by the advisory that named each
pickles.py        how a stream spells, makes and hides a call
containers.py     zips that two readers read differently, side doors, other containers, polyglots, folders
tensor_tricks.py  numbers that make torch read or write where it must not; denial of service
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.attack import Attack
from tests.attacks.containers import CONTAINERS
from tests.attacks.gadgets import GADGETS
from tests.attacks.pickles import PICKLES
from tests.attacks.tensor_tricks import TENSORS

_ALL = [*GADGETS, *PICKLES, *CONTAINERS, *TENSORS]
ATTACKS: dict[str, Attack] = {attack.id: attack for attack in _ALL}
assert len(ATTACKS) == len(_ALL), "two attacks have one name"

#: Advisories of the scanners and loaders, all of which must have a row. Those that follow the table are no files.
ADVISORIES = """
CVE-2025-32434 GHSA-53q9-r3pm-6pq6 CVE-2026-24747 GHSA-63cw-57p8-fm3p GHSA-jg6j-8w4h-2pg2 CVE-2025-62164
GHSA-pxpx-v6rm-5jqf CVE-2024-48063 CVE-2024-5480 CVE-2022-45907 CVE-2019-6446 CVE-2018-20406 gh-154318 gh-115952
CVE-2025-1889 GHSA-769v-p64c-89pr CVE-2025-1944 GHSA-7q5r-7gvp-wc82 CVE-2025-1945 GHSA-w8jq-xcqf-f792 PYSEC-2025-21
CVE-2025-10155 GHSA-jgw4-cr84-mqxg CVE-2025-10156 GHSA-mjqp-26hc-grxg CVE-2025-10157 GHSA-f7qq-56ww-84cr
CVE-2025-71325 GHSA-9gvj-pp9x-gcfr CVE-2026-53875 GHSA-97f8-7cmv-76j2 nullifAI gh-154848 gh-127079 gh-144410 gh-128853
CVE-2025-1716 GHSA-655q-fx9r-782v CVE-2025-46417 GHSA-93mv-x874-956g GHSA-v7x6-rv5q-mhwc
GHSA-4r9r-ch6f-vxmx GHSA-86cj-95qr-2p4f GHSA-f4x7-rfwp-v3xw GHSA-f745-w6jp-hpxx GHSA-jhph-76pp-mggw GHSA-h3qp-7fh3-f8h4
GHSA-vr7h-p6mm-wpmh GHSA-vv6j-3g6g-2pvj GHSA-4whj-rm5r-c2v8 GHSA-5qwp-399c-mjwf GHSA-g344-hcph-8vgg GHSA-x696-vm39-cp64
GHSA-6vqj-c2q5-j97w GHSA-f54q-57x4-jg88 GHSA-3vg9-h568-4w9m GHSA-6w4w-5w54-rjvr GHSA-7cq8-mj8x-j263 GHSA-cj3c-v495-4xqh
GHSA-8r4j-24qv-fmq9 GHSA-9xph-j2h6-g47v GHSA-xp4f-hrf8-rxw7 GHSA-p9w7-82w4-7q8m GHSA-m869-42cg-3xwr GHSA-j343-8v2j-ff7w
GHSA-3gf5-cxq9-w223 GHSA-fqq6-7vqf-w3fg GHSA-9w88-8rmg-7g2p GHSA-49gj-c84q-6qm9 GHSA-q77w-mwjj-7mqx GHSA-m273-6v24-x4m4
CVE-2025-71321 GHSA-4675-36f9-wf6r GHSA-84r2-jw7c-4r5q CVE-2025-71320 GHSA-vqmv-47xg-9wpr GHSA-hgrh-qx5j-jfwx
CVE-2025-71322 GHSA-r8g5-cgf2-4m4m GHSA-6556-fwc2-fg2p CVE-2025-71339 GHSA-955r-x9j8-7rhh GHSA-46h3-79wf-xr6c
GHSA-9726-w42j-3qjr GHSA-9m3x-qqw2-h32h GHSA-m7j5-r2p5-c39r CVE-2026-56304 GHSA-7wx9-6375-f5wh GHSA-vvpj-8cmc-gx39
GHSA-g38g-8gr9-h9xp CVE-2026-56315 CVE-2025-67747 GHSA-565g-hwwr-4pp3 CVE-2025-67748 GHSA-r7v6-mfhq-g3m2 CVE-2026-22606
GHSA-wfq2-52f7-7qvj CVE-2026-22607 GHSA-p523-jq9w-64x9 CVE-2026-22608 GHSA-5hvc-6wx8-mvv4 CVE-2026-22612
GHSA-h4rm-mm56-xf63 GHSA-q5qq-mvfm-j35x GHSA-mhc9-48gj-9gp3 GHSA-mxhj-88fx-4pcv GHSA-5hwf-rc88-82xm GHSA-wccx-j62j-r448
GHSA-r48f-3986-4f9c GHSA-5cxw-w2xg-2m8h GHSA-m6fh-58r7-x697 GHSA-pc6j-px3p-rrj4 GHSA-cffv-grgg-g429 GHSA-5j3x-jp52-966f
GHSA-6ggj-6f2q-f7mx GHSA-fphw-536r-4p88 CVE-2024-0450 CVE-2025-8291 CVE-2025-54368
modelscan-330 modelscan-331 modelscan-263 modelscan-85 modelscan-89 modelaudit-623 picklescan-PR-23 picklescan-PR-52
""".split()
NOT_A_FILE = {
    "pytorch 179581, 74798, 77575": "crashes of torch.jit.load found by mutation; ours is fuzzed by `make fuzz`",
    "CVE-2024-31580, CVE-2024-31583": "in the lite interpreter's native parser, which dotpt has not",
    "CVE-2025-24357": "a server that falls back to an unsafe load; dotpt has no fallback",
    "GHSA-x843-g5mx-g377, GHSA-3329-ghmp-jmv5, GHSA-cffc-mxrf-mhh4, GHSA-rrxm-2pvv-m66x":
        "their text was not to be seen; the names that the fix (picklescan PR 53) added have rows",
    "gh-143638, gh-143639, gh-157120": "memory errors of the C unpickler that need the attacker's Python code",
    "CVE-2019-9674, gh-151307": "zip bombs: rows of bombs.py",
}  # fmt: skip


def write(folder: Path) -> dict[str, Path]:
    """Write every attack below `folder`, each in a folder of its own, and return where."""
    places = {}
    for number, attack in enumerate(ATTACKS.values()):
        made, place = attack.build(), folder / f"{number:04}" / attack.name
        files = {place: made} if isinstance(made, bytes) else {place / name: body for name, body in made.items()}
        for path, body in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        places[attack.id] = place
    return places
