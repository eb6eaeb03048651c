"""Accuracies with their uncertainty: of one run, and of a sweep's arms with what they cannot conclude.

Only what runs left on disk is read, no model and no data set: `reading` reads files, `grading` counts predictions,
`studies` sorts runs into arms, `statistics` and `results` compute, `cautions` says what cannot be concluded, and
`tables`, `figures` and `pages` write the report.
"""

from synthaug.reports.scores import Prediction as Prediction
from synthaug.reports.scores import Scores as Scores
from synthaug.reports.scores import metrics_of as metrics_of
from synthaug.reports.scores import print_scores as print_scores
from synthaug.reports.scores import score as score
from synthaug.reports.scores import write_recipes as write_recipes
from synthaug.reports.sweeps import print_sweep as print_sweep
from synthaug.reports.sweeps import report_sweep as report_sweep
