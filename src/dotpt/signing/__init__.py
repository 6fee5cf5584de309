"""Signatures by the OpenSSF Model Signing specification v1.0 (https://github.com/ossf/model-signing-spec).

    a .sig file: a Sigstore bundle v0.3, JSON                        bundle.py
      a DSSE envelope: payload, type, one signature                  bundle.py, keys.py
        an in-toto statement v1                                      statement.py
          the predicate https://model_signing/signature/v1.0: how the files were hashed, and each hash

Of its three methods this is the one with a key: ECDSA on P-256, P-384 or P-521. `sign` makes such a file, `check`
compares one with a key and with the bytes of a model (`hashing`, `folder`). Importing this costs no cryptography; only
`keys` asks for it, when a key is there.
"""
