"""Fitting the procedural body to a scan of a dressed person."""
