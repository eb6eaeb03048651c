"""People laid over places, and the camera sensor that records the picture."""

from synthaug.compositing.layers import contact_shadow as contact_shadow
from synthaug.compositing.layers import darkened as darkened
from synthaug.compositing.layers import hidden as hidden
from synthaug.compositing.layers import over as over
