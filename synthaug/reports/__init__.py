"""Accuracies with their uncertainty: of one run, and of a sweep's arms with what they cannot conclude.

After the recognizer; knows what runs left on disk, no model and no data set. Files are read (`reading`), predictions
counted (`grading`), runs sorted into arms (`studies`), figures computed (`statistics`, `results`), doubts told
(`cautions`), and all of it drawn and written (`tables`, `figures`, `pages`).
"""

from synthaug.reports.scores import Prediction as Prediction
from synthaug.reports.scores import Scores as Scores
from synthaug.reports.scores import metrics_of as metrics_of
from synthaug.reports.scores import print_scores as print_scores
from synthaug.reports.scores import score as score
from synthaug.reports.scores import write_recipes as write_recipes
from synthaug.reports.sweeps import print_sweep as print_sweep
from synthaug.reports.sweeps import report_sweep as report_sweep
