"""Chapter 5's figure: the position embedding of a grid, and whom a token resembles by place."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.figures.base import Figure
from dit_lesson.positions import sincos_1d, sincos_2d

ROWS = 8


class PositionsFigure(Figure):
    """The embeddings of a grid of 8 rows, and their similarity to one chosen token.

    `kind` is ``"column first"`` (DiT), ``"row first"``, ``"1-D"`` or ``"bug"``: the table of
    the first kind handed to the tokens in the order of the columns.  The grid has `columns`
    columns; the period is 10 to the power `log_period`.  A `column` beyond the grid stands
    for its last.
    """

    caption: ClassVar[str] = (
        "The table of all embeddings, a row for each token, the chosen one framed. The dot "
        "products of its row with all rows make the map: how similar the embedding of every cell "
        "of a grid is to that of the chosen cell (framed). The background colour is zero."
    )

    kind = traitlets.Enum(["column first", "row first", "1-D", "bug"], "column first")
    columns = traitlets.Int(12, min=4, max=12)
    hidden_size = traitlets.Int(32, min=4, max=64)
    log_period = traitlets.Float(0.7, min=0.5, max=4)
    row = traitlets.Int(3, min=0, max=ROWS - 1)
    column = traitlets.Int(4, min=0, max=11)

    @traitlets.validate("hidden_size")
    def _a_multiple_of_four(self, proposal: dict[str, Any]) -> int:
        if proposal["value"] % 4:
            raise traitlets.TraitError(
                f"PositionsFigure: hidden_size is {proposal['value']}, expected a multiple of 4"
            )
        return proposal["value"]

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The number of rows."""
        return {"rows": ROWS}

    def stages(self) -> dict[str, Any]:
        """The chosen token's number, the table, and the map of similarities."""
        return {"token": self.token(), "table": self.table(), "map": self.similarity()}

    def token(self) -> int:
        """The number of the chosen token, counted row by row."""
        return self.row * self.columns + min(self.column, self.columns - 1)

    def table(self) -> np.ndarray:
        """The embeddings of all tokens, (8 * columns, hidden_size)."""
        period = 10**self.log_period
        if self.kind == "1-D":
            return sincos_1d(np.arange(ROWS * self.columns), self.hidden_size, period)
        first = "row" if self.kind == "row first" else "column"
        grid = sincos_2d(self.hidden_size, ROWS, self.columns, first, period)
        if self.kind == "bug":
            return grid.reshape(ROWS, self.columns, -1).swapaxes(0, 1).reshape(grid.shape)
        return grid

    def similarity(self) -> np.ndarray:
        """Dot products with the chosen token over D / 2, (8, columns): 1 for the token itself."""
        table = self.table()
        dots = table @ table[self.token()]
        return (dots / (self.hidden_size / 2)).reshape(ROWS, self.columns)

    def summary(self) -> str:
        """The chosen token, its nearest neighbour by embedding, and the smallest similarity."""
        similarity = self.similarity()
        others = similarity.ravel().round(9)  # equal neighbours differ in the last bits
        others[self.token()] = -np.inf
        row, column = divmod(int(others.argmax()), self.columns)
        return (
            f"{self.kind}, width {self.hidden_size}, period {10**self.log_period:,.0f}: token "
            f"{self.token()} of a grid of {ROWS}x{self.columns} is most similar to row {row}, "
            f"column {column} ({others.max():.2f}); the smallest similarity is "
            f"{similarity.min():.2f}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The table, and the map that the chosen row makes."""
        return plots.position_table(self.table(), self.similarity(), self.token())
