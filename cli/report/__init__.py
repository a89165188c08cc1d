"""prestream report: the effect of warming, and the causes of slow pulls, from the facts."""
