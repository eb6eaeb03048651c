"""Parts of the sources that read recorded motion files: parsing, retargeting, calibration, views."""
