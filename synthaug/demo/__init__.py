"""The embedded pseudo-real film: who performs in it, where, and the camera that records it."""
