"""Contracts for plugin authors: one `check_*` for each interface, the same for our own classes and for yours.

Each raises an AssertionError that says which promise was broken:
`from synthaug.testing.renderers import check_renderer`.
"""
