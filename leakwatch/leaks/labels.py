"""Labels and URL of a leak, the same in metrics, alerts and pages. Pure.

Alertmanager recognises that an alert of Prometheus and an alert of leakwatch are the same by their equal labels.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from urllib.parse import quote

from leakwatch.leaks.model import Leak
from leakwatch.model import Target

LONGEST_LABEL = 250
OWNER = "owner"
"""Label of a target with the team that owns code without another owner."""


def shown(text: str) -> str:
    """Return `text` as a label value. A long text is cut and ends with a hash, so that it remains unique."""
    if len(text) <= LONGEST_LABEL:
        return text
    return f"{text[:LONGEST_LABEL]}…{blake2b(text.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"


def leak_labels(leak: Leak) -> Mapping[str, str]:
    """Return the labels that identify a leak. The verdict changes, so it is not among them."""
    return {
        "service": shown(leak.service),
        "stack": leak.stack.fingerprint,
        "function": shown(leak.stack.blamed.function),
        "wait": leak.stack.wait,
        "owner": shown(leak.owner),
        **{name: shown(value) for name, value in leak.target_labels.items()},
    }


def labels_of_target(target: Target, names: Iterable[str]) -> Mapping[str, str]:
    """Return the labels of a target that metrics and alerts have, "" for a label that the target does not have."""
    return {name: shown(target.labels.get(name, "")) for name in names}


def agreed_labels(targets: Iterable[Target], names: Iterable[str]) -> Mapping[str, str]:
    """Return the value of each label that all targets have in common, "" if the targets differ in a label."""
    values = {name: set[str]() for name in names}
    if values:
        for target in targets:
            for name, different in values.items():
                different.add(target.labels.get(name, ""))
    return {name: different.pop() if len(different) == 1 else "" for name, different in values.items()}


def leak_path(leak: Leak) -> str:
    """Return the path of a leak: service and stack, because a stack may leak in several services."""
    return f"{quote(leak.service, safe='', errors='replace')}/{leak.stack.fingerprint}"


def leak_url(base: str, leak: Leak) -> str:
    """Return the URL of the page of a leak; `base`: the URL of the first page."""
    return f"{base.rstrip('/')}/leaks/{leak_path(leak)}"
