"""Pure functions and small typed values of detection: boxes, anchors, matching, sampling, losses, suppression."""
