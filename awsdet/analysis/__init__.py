"""Why a detector loses points: kinds of errors, curves, confusions, calibration, the worst images; plots of runs."""
