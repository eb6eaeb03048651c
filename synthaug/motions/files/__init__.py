"""Parse recorded motion files, retarget their skeletons, and calibrate or invent their cameras."""
