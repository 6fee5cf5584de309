"""What crosses this boundary: a head that may be text in; pointers, error pages and indexes out.

Most files "that torch cannot load" are text: a git-lfs pointer, a login page, the error of a server, saved
under the name of the model.
"""

from __future__ import annotations

import codecs
import html
import json
import re

from dotpt.container.sniff.result import Sniffed, quote

AGAIN = "download the file again, from its direct link and signed in where the site asks for it"

_LFS = re.compile(rb"version https?://(?:git-lfs|hawser|git-media)[^\n]{0,80}\n")
_LFS_OID = re.compile(rb"^oid (sha256:[0-9a-f]{64})\r?$", re.MULTILINE)
_LFS_SIZE = re.compile(rb"^size (\d{1,18})\r?$", re.MULTILINE)
_HTML = re.compile(
    r"\s*(?:<!--.*?-->\s*)?(?:<\?xml[^>]*>\s*)?<(?:!doctype html|html|head|body|script|meta)\b", re.I | re.S
)
_TITLE = re.compile(r"<title[^>]{0,200}>(.*?)(?:</title|$)", re.I | re.S)
_XML = re.compile(r"\s*<(?:\?xml|Error)\b")
_XML_FACT = re.compile(r"<(Code|Message)>([^<]*)")
_JSON = re.compile(r'\s*(?:\{\s*(?:["}]|$)|\[\s*(?:[]["{\d-]|true|false|null))')
_JSON_MESSAGE = re.compile(r'"(?:error|message|detail|error_description|error_message)"\s*:\s*"((?:[^"\\]|\\.)*)')
_ERROR_TEXT = re.compile(
    r"\b(?:40[0-9]|429|50[0-4])\b|not found|unauthori|denied|forbidden|invalid|error|quota|expired", re.I
)
_BASE64 = ("UEsDB", "gAKKCmz8nEb5IGqo")


def sniff_text(head: bytes, whole: bool) -> Sniffed | None:
    """What kind of text a file is, or None if ``head`` (the ``whole`` file or its start) is not text."""
    if _LFS.match(head):
        return _lfs(head)
    if head.startswith((b"/annex/objects/", b"../.git/annex/", b".git/annex/objects/")):
        return Sniffed("git-annex", "a git-annex pointer", hint="run `git annex get` in the repository")
    loose = head.decode("utf-8-sig", "replace")
    if _HTML.match(loose):
        return _html(loose)
    if _XML.match(loose):
        facts = {name.lower(): quote(html.unescape(value)) for name, value in reversed(_XML_FACT.findall(loose))}
        return Sniffed("xml", "an XML document", details=facts, hint=AGAIN)
    text = _plain(head, whole)
    if text is None:
        return None
    if _JSON.match(text):
        return _json(text)
    if re.match(r"outs:\s*\n\s*- *(?:md5|hash|etag):|(?:md5|deps): ?\S*\n(?:.*\n){0,5}outs:", text):
        return Sniffed("dvc", "a DVC pointer", hint="run `dvc pull` in the repository")
    return _text(text)


def _lfs(head: bytes) -> Sniffed:
    oid, size = _LFS_OID.search(head), _LFS_SIZE.search(head)
    details = {
        "version": quote(head.split(b"\n", 1)[0].partition(b" ")[2]),
        "oid": oid[1].decode() if oid else None,
        "size": int(size[1]) if size else None,
    }
    return Sniffed("git-lfs", "a git-lfs pointer", details=details, hint="run `git lfs pull` in the repository")


def _html(text: str) -> Sniffed:
    title = _TITLE.search(text)
    hint, low = AGAIN, text.lower()
    if "google drive" in low or "drive.google" in low:
        hint = "download it with `gdown`, or in a browser: Google Drive answers large files with a question"
    elif "github" in low:
        hint = "download it from the 'raw' link of the page (and with git-lfs where the repository uses it)"
    elif "hugging face" in low or "huggingface" in low:
        hint = "download it with `hf download`, or from the link with /resolve/ in place of /blob/"
    details = {"title": quote(html.unescape(title[1])) if title else None}
    return Sniffed("html", "an HTML page", details=details, hint=hint)


def _json(text: str) -> Sniffed:
    if '"weight_map"' in text:
        return Sniffed(
            "shard-index",
            "the index of a sharded checkpoint",
            hint="give the folder that holds the index and its shards",
        )
    if '"architectures"' in text or '"model_type"' in text:
        return Sniffed(
            "json", "a model's JSON configuration", hint="the weights are another file: give it, or the whole folder"
        )
    found = _JSON_MESSAGE.search(text)
    if found is None:
        return Sniffed("json", "a JSON document", details={"message": None})
    try:
        message = str(json.loads(f'"{found[1]}"'))
    except ValueError:  # cut in the middle, or not quite JSON: the raw words will do
        message = found[1]
    return Sniffed("json", "a JSON document", details={"message": quote(message)}, hint=AGAIN)


def _text(text: str) -> Sniffed:
    first = next((line for line in text.splitlines() if line.strip()), "")
    details = {"begins": quote(first)}
    if text.startswith(_BASE64):
        return Sniffed("text", "a PyTorch file in base64", details=details, hint="decode it: base64 -d FILE > model.pt")
    error = len(text) < 1000 and _ERROR_TEXT.search(text)
    details["reads_as"] = "error" if error else "text"
    return Sniffed("text", "a plain text file", details=details, hint=AGAIN if error else None)


def _plain(head: bytes, whole: bool) -> str | None:
    """The head as text, if all of it is text (its last character may be cut)."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, whole)
    except UnicodeDecodeError:
        return None
    fine = all(c.isprintable() or c in "\t\r\n\f\x1b" for c in text)
    return text if fine and text else None
