"""The main job, shown: what is deployed in the local cloud, and what comes of it."""
