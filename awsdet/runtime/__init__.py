"""What every process needs: errors, processes, stalls, progress, files. Knows nothing of detection."""
