"""Print tables to the terminal."""


def print_table(rows: list[tuple[str, str]], title: str = "") -> None:
    """Print rows as a table; the first row is its head."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", show_header=True)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)
