"""Clips that another generator made of training clips, read from a folder in the place of rendered ones.

Whatever made them, they are mixed, guarded, counted and reported as our own are, and how far their motion has drifted
from the reference's is measured.
"""

from synthaug.foreign.settings import ForeignClips as ForeignClips
