"""The avatar pack: its file format, its papers, and its rig."""
