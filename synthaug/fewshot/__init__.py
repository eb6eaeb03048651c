"""Few-shot learning: sampling of tasks, prototypes, and their evaluation on features."""

from synthaug.fewshot.episodes import Episodes as Episodes
from synthaug.fewshot.episodes import sample_tasks as sample_tasks
from synthaug.fewshot.prototypes import class_means as class_means
from synthaug.fewshot.prototypes import nearest_mean as nearest_mean
