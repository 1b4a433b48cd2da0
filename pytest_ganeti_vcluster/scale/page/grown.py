"""How a figure grows, for the page."""

from __future__ import annotations

import attrs

from pytest_ganeti_vcluster.scale.amounts import amount
from pytest_ganeti_vcluster.scale.fitting import Growth, growth
from pytest_ganeti_vcluster.scale.lines import Line

#: A fixed part below this share of the largest figure is not told.
_NOTHING = 0.001


@attrs.frozen
class Grown:
    """How a figure grows along the line that says most, for the page: `rank` sorts laws by how steep they are."""

    line: Line
    growth: Growth
    unit: str

    @property
    def symbol(self) -> str:
        """The letter for what grows."""
        return "n" if self.line.over == "nodes" else "i"

    @property
    def name(self) -> str:
        """The law's name, without the exponent."""
        return self.growth.name.partition(" (")[0]

    @property
    def rank(self) -> str:
        """How steep it is, in one word for the page's colours."""
        words = {"constant": "flat", "falling": "flat", "inversely proportional": "flat", "linear": "linear"}
        law = self.growth.law
        if self.name in words:
            return words[self.name]
        if law is None or self.name == "unclear":
            return "unclear"
        return "below" if law.exponent < 1 else "above"

    @property
    def exponent(self) -> str:
        """The exponent with its error; empty where there is none."""
        law = self.growth.law
        if law is None or self.growth.name == "unclear":
            return ""
        return f"{law.exponent:.2f} ± {law.error:.2f}"

    @property
    def fixed(self) -> str:
        """The part that does not grow; empty where the law has none."""
        law = self.growth.law
        if law is None or law.fixed <= 0.001 * self.growth.last:
            return ""
        return amount(law.fixed, self.unit)

    @property
    def factor(self) -> str:
        """What stands before the power."""
        return "" if self.growth.law is None else amount(self.growth.law.factor, self.unit)

    @property
    def r2(self) -> str:
        """The share of the variance that the law accounts for."""
        return "" if self.growth.law is None else f"{self.growth.law.r2:.3f}"

    @property
    def end(self) -> str:
        """The exponent between the two largest sizes, with what the repetitions allow."""
        if self.growth.end is None:
            return ""
        middle, least, greatest = self.growth.end
        if least == greatest:
            return f"{middle:.2f}"
        return f"{middle:.2f} ({least:.2f} to {greatest:.2f})"

    @property
    def first(self) -> str:
        """The figure at the smallest size."""
        return amount(self.growth.first, self.unit)

    @property
    def last(self) -> str:
        """The figure at the largest size."""
        return amount(self.growth.last, self.unit)

    @property
    def spark(self) -> str:
        """The line as points of a small drawing, 100 wide and 28 high."""
        sizes, middles = self.line.sizes, self.line.middles
        width, height = max(sizes) or 1, max(middles) or 1
        return " ".join(
            f"{2 + 96 * size / width:.1f},{26 - 24 * middle / height:.1f}"
            for size, middle in zip(sizes, middles)
        )


def grown(line: Line | None) -> Grown | None:
    """Fit a line; None where there is none, or where nothing grows. Raises `ExtraMissing`."""
    if line is None or len(line.sizes) < 2:  # noqa: PLR2004 - one size cannot grow
        return None
    found = growth(line)
    return None if found is None else Grown(line, found, line.figures[0].unit)
