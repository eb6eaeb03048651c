"""Accuracies with their uncertainty, for one run and for the arms of a sweep, and what cannot be concluded from them.

These modules read only what runs left on disk, no model and no data set: `reading` reads files, `grading` counts
predictions, `studies` sorts runs into arms, `statistics` and `results` compute, `cautions` says what cannot be
concluded, and `tables`, `figures` and `pages` write the report.
"""

from synthaug.reports.scores import Prediction as Prediction
from synthaug.reports.scores import Scores as Scores
from synthaug.reports.scores import metrics_of as metrics_of
from synthaug.reports.scores import print_scores as print_scores
from synthaug.reports.scores import score as score
from synthaug.reports.scores import write_recipes as write_recipes
from synthaug.reports.sweeps import find_present as find_present
from synthaug.reports.sweeps import print_sweep as print_sweep
from synthaug.reports.sweeps import report_sweep as report_sweep
