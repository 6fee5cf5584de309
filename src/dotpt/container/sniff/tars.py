"""What crosses this boundary: the head of a tar file in, whether it is one of torch 0.1's out."""

from __future__ import annotations

from dotpt.container.sniff.result import Sniffed, quote

BLOCK = 512
TORCH_MEMBERS = {"sys_info", "pickle", "tensors", "storages"}


def is_tar(head: bytes) -> bool:
    """Whether the magic is where POSIX and GNU tar put it."""
    return head.startswith(b"ustar", 257)


def sniff_tar(head: bytes) -> Sniffed:
    """A tar of torch 0.1 has only the members sys_info, pickle, tensors and storages; others are archives."""
    names = _members(head)
    details = {"members": [quote(name) for name in names]}
    if names and names[0] in TORCH_MEMBERS:
        return Sniffed("tar", "a PyTorch file in the tar format of 2016", torch=True, details=details)
    if any(name.lower().endswith("model_config.yaml") for name in names):
        kind, label, model = "nemo", "a NeMo archive", "model_weights.ckpt"
    else:
        kind, label, model = "tar-archive", "a tar archive", "the model file"
    return Sniffed(kind, label, details=details, hint=f"unpack it (tar -xf), and open {model} in it")


def _members(head: bytes) -> list[str]:
    """The names of the members whose headers lie in the head, extension headers left out."""
    names, at = [], 0
    while at + BLOCK <= len(head) and head[at] and head.startswith(b"ustar", at + 257):
        name = head[at : at + 100].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        if head[at + 156 : at + 157] not in b"xgLK":
            names.append(name)
        try:
            size = int(head[at + 124 : at + 136].strip(b" \0") or b"0", 8)
        except ValueError:  # base-256, for sizes over 8 GiB: whatever follows is not in the head
            break
        if size < 0:
            break
        at += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
    return names
