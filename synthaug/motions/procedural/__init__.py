"""Parts of the procedural actions: arms, gait, postures, timing and performer style."""
