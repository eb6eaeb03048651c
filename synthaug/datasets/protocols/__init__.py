"""Protocols that any data set with subjects, cameras or lists can use."""

from synthaug.datasets.protocols.cross_subject_view import CrossSubjectView as CrossSubjectView
from synthaug.datasets.protocols.generic import CrossSubject as CrossSubject
from synthaug.datasets.protocols.generic import CrossView as CrossView
from synthaug.datasets.protocols.generic import Holdout as Holdout
from synthaug.datasets.protocols.generic import Predefined as Predefined
from synthaug.datasets.protocols.lists import ListSplit as ListSplit
