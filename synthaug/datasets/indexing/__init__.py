"""Finding, probing and checking the films of a data set: tables, scans, quarantine, shrunk copies."""
