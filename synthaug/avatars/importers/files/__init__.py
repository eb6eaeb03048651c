"""Readers of what importers are given: checkpoints and SMPL-X body files."""
