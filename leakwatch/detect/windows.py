"""The windows that growth is looked for in: how far each looks back, and what it asks for. Pure."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Window:
    """How far to look back (`columns`) and what a series must do there; `phi` is None for P windows."""

    name: str
    columns: int
    least: float  # x
    moves: float  # e
    phi: float | None
    steady: tuple[float, float]  # of net: no increment outside, the first bound holds for the last one only in C

    @property
    def needs_turnover(self) -> bool:
        """Tell whether the window is of kind C, which needs at least 5 scrapes in each block."""
        return self.phi is not None


BLOCK_WINDOWS: Final = (
    Window("P0", 8, 300, 8, None, (0.25, 0.50)),
    Window("P2", 24, 30, 8, None, (0.22, 0.60)),
    Window("C2", 24, 30, 8, 0.30, (0.22, 0.60)),
)
HOUR_WINDOWS: Final = (
    Window("P8", 8, 12, 10, None, (0.22, 0.60)),
    Window("C8", 8, 12, 10, 0.30, (0.22, 0.60)),
    Window("P24", 24, 8, 8, None, (0.22, 0.60)),
)

FILLING: Final = {
    "P0": ((16, 1.4),),
    "P2": ((48, 2.2), (192, 1.5)),
    "C2": ((48, 2.2), (192, 1.5)),
    "P8": ((132, 3.4), (288, 2.2)),
    "C8": ((132, 3.4), (288, 1.6)),
}
"""Window -> until which block of a lifetime it asks for how many times its usual least: much fills up then.

C asks for more only of what nobody leaves."""
