"""The pseudo-real film of the embedded demo: who performs in it, where, and the camera that records it."""
