"""What exists upstream of Artifact Registry: images, and how their registries behave."""
