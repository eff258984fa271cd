"""The labels and the address of a leak, the same in metrics, alerts and pages. Pure.

An alert that Prometheus makes of our metrics and one that we push are the same to Alertmanager only if their
labels are.
"""

from collections.abc import Mapping
from hashlib import blake2b
from urllib.parse import quote

from leakwatch.leaks.model import Leak

LONGEST_LABEL = 250


def shown(text: str) -> str:
    """Return `text` as a label value: when it is absurdly long, cut with a mark and what tells it from others."""
    if len(text) <= LONGEST_LABEL:
        return text
    return f"{text[:LONGEST_LABEL]}…{blake2b(text.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"


def leak_labels(leak: Leak) -> Mapping[str, str]:
    """Return what names a leak as long as it is the same one; its verdict changes and is none of them."""
    return {
        "service": shown(leak.service),
        "stack": leak.stack.fingerprint,
        "function": shown(leak.stack.blamed.function),
        "wait": leak.stack.wait,
        "owner": shown(leak.owner),
    }


def leak_path(leak: Leak) -> str:
    """Return what names a leak in addresses: the stack alone may leak in several services."""
    return f"{quote(leak.service, safe='', errors='replace')}/{leak.stack.fingerprint}"


def leak_url(base: str, leak: Leak) -> str:
    """Return where our pages tell of a leak; `base`: the URL of our first page."""
    return f"{base.rstrip('/')}/leaks/{leak_path(leak)}"
