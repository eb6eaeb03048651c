"""NTU RGB+D 60 and 120: their films, classes and published protocols."""

from synthaug.datasets.ntu.dataset import Ntu as Ntu
from synthaug.datasets.ntu.dataset import NtuName as NtuName
from synthaug.datasets.ntu.dataset import parse_ntu_name as parse_ntu_name
