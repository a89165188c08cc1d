"""The report as a page: one file that opens offline, in a browser of any size."""
