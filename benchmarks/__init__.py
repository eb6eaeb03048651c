"""Measurements of speed and quality. They print figures and never assert times."""
