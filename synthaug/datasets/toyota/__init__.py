"""Toyota Smarthome: its films and its published protocols."""

from synthaug.datasets.toyota.dataset import Toyota as Toyota
