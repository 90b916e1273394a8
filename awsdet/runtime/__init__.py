"""What every process needs: errors, files, other processes, stalls, progress. It knows nothing about detection."""
