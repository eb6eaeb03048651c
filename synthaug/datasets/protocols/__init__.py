"""Protocols that work with any data set: by subject, by camera, by random choice, by name pattern, by published list.

Protocols that belong to one data set are in its own package: `synthaug.datasets.ntu`, `synthaug.datasets.toyota`.
"""

from synthaug.datasets.protocols.cross_subject_view import CrossSubjectView as CrossSubjectView
from synthaug.datasets.protocols.generic import CrossSubject as CrossSubject
from synthaug.datasets.protocols.generic import CrossView as CrossView
from synthaug.datasets.protocols.generic import Holdout as Holdout
from synthaug.datasets.protocols.generic import Predefined as Predefined
from synthaug.datasets.protocols.left_out import LeftOut as LeftOut
from synthaug.datasets.protocols.lists import ListSplit as ListSplit
from synthaug.datasets.protocols.people_folds import PeopleFolds as PeopleFolds
