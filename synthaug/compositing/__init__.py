"""Lay people over places, and record the picture as a camera does."""

from synthaug.compositing.layers import darken as darken
from synthaug.compositing.layers import occlude as occlude
from synthaug.compositing.layers import over as over
from synthaug.compositing.sensor import apply_sensor as apply_sensor
from synthaug.compositing.shadows import contact_shadow as contact_shadow
