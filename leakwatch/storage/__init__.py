"""Storage: the state of all services and the alerts in one SQLite file, so that a restart loses nothing.

- `storage`: opens the file at the start, restores the state, saves what changes, and retries after failures.
- `changes`: decides which states have changed since they were saved, and converts them to plain values.
- `database`: the file: schema, versions, limits, reading and writing. Its methods belong into a thread.
- `lock`: lets one process use a folder at a time.
- `rows`, `codec`: what is in the file.
- `transfer`: information about a file, and copies of services between files.
"""
