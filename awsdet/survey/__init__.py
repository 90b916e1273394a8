"""What is in a data set, as web pages to look at before training: pictures, histograms, anchors' recall, duplicates."""
