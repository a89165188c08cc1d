"""What nodes and Jobs report: write it down as facts."""
