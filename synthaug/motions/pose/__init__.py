"""From film to 2D and 3D keypoints: the detector, who is followed, shots, scenes and fingers."""
