"""The names of the records that dotpt adds to torch's files. Each is written and read by the module of its name."""

BASE = ".dotpt/base.json"
MANIFEST = ".dotpt/manifest.json"
METADATA = ".dotpt/metadata.json"
ARCHITECTURE = ".dotpt/model.json"
