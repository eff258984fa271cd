"""`/api/v1`: state as JSON, for programs and for leakwatch's pages.

- `fleet`, `state`: the state that pages and API read, in parts.
- `leaks`, `leak_detail`, `series`, `targets`, `services`, `flame_graph`, `status`: from state to models, also for
  pages.
- `snapshots`, `diff`, `evidence`: stored profiles and differences between them.
- `models`: the models of the responses. Pure.
- `app`, `routes`, `params`, `dependencies`: the endpoints; `problems`: errors; `events`: live events.
"""
