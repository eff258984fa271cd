"""The catalogue of causes: the shipped files and those of the configuration."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from leakwatch.causes.file import CauseFile, load_shipped, read_causes
from leakwatch.causes.matching import matches
from leakwatch.causes.model import Cause, CountedStack
from leakwatch.profile.blame import IsOwn

FOLDER: Final = Path(__file__).parent
SHIPPED: Final = "the catalogue of leakwatch"


@dataclass(frozen=True)
class Catalogue:
    """Finds the likely cause of a leak in `given` causes, and in the shipped ones unless they are excluded.

    The shipped causes are read when they are first needed.
    """

    given: tuple[Cause, ...] = ()
    with_shipped: bool = True

    @cached_property
    def causes(self) -> Sequence[Cause]:
        """All causes, the most specific first."""
        causes = (*shipped(), *self.given) if self.with_shipped else self.given
        return sorted(causes, key=lambda cause: (cause.rank, cause.id))

    def load(self) -> None:
        """Read the causes now; without the C library of PyYAML this takes 0.1 s."""
        len(self.causes)

    def explain(
        self, stacks: Sequence[CountedStack], is_own: IsOwn, of: CountedStack | None = None
    ) -> Cause | None:
        """Return the most specific cause that matches a leak, None if none does; `stacks`: of the whole leak.

        `of`: the stack that the cause must be recognised by, None for any.
        """
        return next(matches(self.causes, stacks, is_own, of), None)

    def matches(self, stacks: Sequence[CountedStack], is_own: IsOwn) -> Iterator[Cause]:
        """Yield all causes that match a leak, the most specific first."""
        return matches(self.causes, stacks, is_own)


@lru_cache(maxsize=1)
def shipped() -> tuple[Cause, ...]:
    """Return the causes that leakwatch ships."""
    documents = map(load_shipped, sorted(FOLDER.glob("*.yml")))
    causes = (config.cause() for document in documents for config in CauseFile.model_validate(document).causes)
    return tuple(replace(cause, docs=f"docs/causes#{cause.id}") for cause in causes)


def read(files: Iterable[Path]) -> Catalogue:
    """Return the shipped causes and those in `files`; raises ConfigError with file and line."""
    where = dict.fromkeys((cause.id for cause in shipped()), SHIPPED)
    causes: dict[str, Cause] = {}
    for path in files:
        added = read_causes(path, where)
        causes |= added
        where |= dict.fromkeys(added, str(path))
    return Catalogue(tuple(causes.values()))
