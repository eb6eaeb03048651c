"""Measurements of speed, quality and layout. They print figures and never assert times."""
