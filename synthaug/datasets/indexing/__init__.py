"""The parts that data sets are made of: find, probe and check films, read tables and lists, make smaller copies."""
