"""Fit a body to measured joints, landmarks or keypoints, and grade the fit."""
