"""Print tables to the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_table(rows: list[tuple[str, str]], title: str = "") -> None:
    """Print rows as a table; the first row is its head."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title) or None, title_justify="left", show_header=True)
    for column in rows[0]:
        table.add_column(escape(column), overflow="fold")
    for row in rows[1:]:
        add_plain_row(table, *row)
    Console().print(table)


def add_plain_row(table: "Table", *cells: str, style: str | None = None) -> None:
    """Add a row as it is written: rich would take the brackets of `synthaug[pose]` or `take [2]` for its own markup."""
    from rich.markup import escape

    table.add_row(*map(escape, cells), style=style)
