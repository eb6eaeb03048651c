"""Chance decides a Recipe, a Recipe decides a Clip."""

from synthaug.synthesis.synthesizer import Slot as Slot
from synthaug.synthesis.synthesizer import Staged as Staged
from synthaug.synthesis.synthesizer import Synthesis as Synthesis
from synthaug.synthesis.synthesizer import Synthesizer as Synthesizer
