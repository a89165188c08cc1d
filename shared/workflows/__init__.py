"""What the project does, over the domain and the protocols that each workflow declares."""
