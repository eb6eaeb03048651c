"""Recipes and their clips: chance decides a Recipe, a Recipe decides a Clip."""

from synthaug.synthesis.settings import Synthesis as Synthesis
from synthaug.synthesis.staging import RenderJob as RenderJob
from synthaug.synthesis.synthesizer import Synthesizer as Synthesizer
