"""Detect and track people in film, and turn their 2D and 3D points into motions."""
