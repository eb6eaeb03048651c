"""Few-shot learning: episodes, their evaluation, and nearest class means."""

from synthaug.fewshot.prototypes import class_means as class_means
from synthaug.fewshot.prototypes import nearest_mean as nearest_mean
