"""Read and write tar archives."""
