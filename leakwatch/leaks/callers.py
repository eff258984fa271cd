"""Which own code opens what a leak without own code holds. Pure.

Four ways give callers: labels of the goroutines, their creators and ancestors in a full dump, the heap profile,
and other stacks of the service in which own code calls the same module.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar, get_args

from leakwatch.leaks.findings import ProbeResults
from leakwatch.leaks.model import Caller, Certainty, Way
from leakwatch.leaks.seen_calls import SeenCalls
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Frame, Stack
from leakwatch.profile.blame import IsOwn, part_of
from leakwatch.profile.label_counts import KEYS, Label
from leakwatch.profile.own_calls import (
    ANCESTOR,
    CREATOR,
    FAR_ANCESTOR,
    PARENT,
    PARENT_INSIDE,
    HeapCaller,
    HeapPart,
)
from leakwatch.profile.packages import is_std

MOST: Final = 5  # callers of one leak
PER_WAY: Final = 3
CLEAR_SHARE: Final = 0.6  # of the live bytes that a part has allocated for own code
CLEAR_OBJECTS: Final = 5  # sampled objects; chance decides about fewer
COMMON_LABEL: Final = 0.9  # share of the goroutines
LEAST_SHARE: Final = 0.1  # of goroutines or bytes; a smaller one is one of many
Key = TypeVar("Key")
CERTAINTIES: Final = get_args(Certainty)
WAYS: Final = get_args(Way)
RELATIONS: Final[Mapping[str, tuple[Way, Certainty]]] = {
    CREATOR: ("creator", "certain"),
    ANCESTOR: ("ancestors", "certain"),
    FAR_ANCESTOR: ("ancestors", "likely"),
    PARENT_INSIDE: ("creator", "likely"),
    PARENT: ("creator", "possible"),
}


def callers(
    stacks: Sequence[Stack], states: Sequence[TargetState], is_own: IsOwn, seen: SeenCalls
) -> tuple[Caller, ...]:
    """Return the callers of a leak, the best first; none if the leak has own code.

    `stacks`: the head of the leak, then its related stacks; `states`: of the targets with the leak; `seen`: the
    cache of the service.
    """
    if any(is_own(stack.blamed) for stack in stacks):
        return ()
    keys = [stack.fingerprint for stack in stacks]
    parts = list(dict.fromkeys(part_of(stack.blamed.function) for stack in stacks))
    results = [state.probe_results for state in states]
    found = [
        *_by_labels(keys, states),
        *_by_starters(keys, results),
        *_by_heap(parts, results),
        *_by_stacks(parts[0], seen.callers(parts[0], states, is_own)),
    ]
    found.sort(key=lambda caller: (CERTAINTIES.index(caller.certainty), WAYS.index(caller.way)))
    unique: dict[tuple[str, str], Caller] = {}
    for caller in found:
        unique.setdefault((caller.function.function if caller.function else "", caller.value), caller)
    return tuple(unique.values())[:MOST]


def is_clear(part: HeapPart) -> bool:
    """Return whether a heap profile names one caller."""
    return any(_is_clear(caller, part.size) for caller in part.callers)


def _is_clear(caller: HeapCaller, size: float) -> bool:
    return caller.objects >= CLEAR_OBJECTS and caller.size >= CLEAR_SHARE * size


def _by_labels(keys: Sequence[Fingerprint], states: Sequence[TargetState]) -> list[Caller]:
    """Return the values of the most specific label of the first stack that has labels."""
    for key in keys:
        counts, goroutines = Counter[Label](), 0
        for state in states:
            if key in state.labels:
                counts.update(state.labels[key])
                goroutines += state.count(key)
        if counts and goroutines:
            name = min((name for name, _ in counts), key=KEYS.index)
            values = Counter({value: number for (other, value), number in counts.items() if other == name})
            return [_labelled(name, value, share) for value, share in _shares(values, goroutines)]
    return []


def _labelled(name: str, value: str, share: float) -> Caller:
    certainty: Certainty = "likely" if share >= COMMON_LABEL else "possible"
    return Caller(way="labels", certainty=certainty, share=share, label=name, value=value)


def _shares(counts: Counter[Key], total: float) -> list[tuple[Key, float]]:
    """Return the most frequent keys with their shares of `total`."""
    shares = [(key, min(number / total, 1.0)) for key, number in counts.most_common(PER_WAY)]
    return [(key, share) for key, share in shares if share >= LEAST_SHARE]


def _by_starters(keys: Sequence[Fingerprint], results: Sequence[ProbeResults]) -> list[Caller]:
    """Return the own code that started the goroutines of the first stack for which full dumps have it."""
    for key in keys:
        counts, goroutines = Counter[tuple[Frame, str]](), 0
        for dump in (result.full_dump for result in results):
            if dump and key in dump.waiting and dump.starters.get(key):
                goroutines += sum(dump.waiting[key].states.values())
                counts.update({(each.function, each.relation): each.goroutines for each in dump.starters[key]})
        if counts:
            return [
                Caller(way=way, certainty=certainty, function=function, share=share)
                for (function, relation), share in _shares(counts, goroutines)
                for way, certainty in [RELATIONS[relation]]
            ]
    return []


def _by_heap(parts: Iterable[str], results: Sequence[ProbeResults]) -> list[Caller]:
    """Return the own code for which a part has allocated live memory: of the first of `parts` that has any."""
    for part in parts:
        profiles = [result.heap[part] for result in results if part in result.heap]
        merged: dict[str, HeapCaller] = {}
        for caller in (caller for profile in profiles for caller in profile.callers):
            other = merged.get(caller.function.function, HeapCaller(caller.function, 0.0, 0))
            size, objects = caller.size + other.size, caller.objects + other.objects
            merged[caller.function.function] = HeapCaller(other.function, size, objects)
        size = sum(profile.size for profile in profiles)
        largest = sorted(merged.values(), key=lambda caller: -caller.size)[:PER_WAY]
        if largest and size:
            return [_of_heap(caller, part, size) for caller in largest if caller.size >= LEAST_SHARE * size]
    return []


def _of_heap(caller: HeapCaller, part: str, size: float) -> Caller:
    is_weak = is_std(part)
    return Caller(
        way="heap",
        certainty="likely" if _is_clear(caller, size) and not is_weak else "possible",
        function=caller.function,
        share=caller.size / size,
        part=part,
        is_weak=is_weak,
    )


def _by_stacks(part: str, frames: Sequence[Frame]) -> list[Caller]:
    """Return the own code that was seen to call a part."""
    is_weak = is_std(part)
    return [
        Caller(way="seen", certainty="possible", function=frame, part=part, is_weak=is_weak)
        for frame in frames[:PER_WAY]
    ]
