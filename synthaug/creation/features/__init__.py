"""Kinds of evidence about a person in film; each file is one."""
