"""Cloud Build notifications: publish a reference to each image that a build pushed."""
