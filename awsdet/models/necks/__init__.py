"""Necks: from the features of a backbone to a pyramid whose levels have equally many channels."""
