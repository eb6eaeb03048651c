"""Compose procedural actions from arms, gait, postures, timing and performer style."""
