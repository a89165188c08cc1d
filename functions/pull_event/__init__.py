"""Reports of nodes and Jobs: write them as facts."""
