"""Parts that fit body parameters to joints or keypoints, and grade how good the fit is."""
