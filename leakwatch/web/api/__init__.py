"""`/api/v1`: what is known, as JSON, for programs and for our own pages.

- `models`, `target_models`, `status_models`: what is answered. Pure.
- `leaks`, `series`, `targets`, `stacks`, `services`, `flame`, `status`: from state to models; pages call them too.
- `source`: what they may read of the daemon.
- `app`: the addresses; `problems`: how errors are said; `changes`: news, as they happen.
"""
