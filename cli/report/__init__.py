"""prestream report: what warming brought, and why it did not, from the facts."""
