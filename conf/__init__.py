"""Configurations; a package so that hydra.searchpath=[pkg://synthaug.conf] finds them in the wheel."""
