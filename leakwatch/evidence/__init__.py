"""Evidence: raw profiles of leaking targets, redacted, compressed, limited in number and size.

- `recorder`: decides which bodies of a target are stored.
- `packer`: redacts and compresses a body while it arrives.
- `store`: adds, updates and removes stored bodies within the limits.
- `index`: the stored bodies by key and target, and which of them exceed the limits. Pure.
- `writer`: writes the bodies of the index to disk in a thread.
- `disk`, `record`, `file_names`: the files of a body.
"""
