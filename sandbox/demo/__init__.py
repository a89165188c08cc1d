"""The demo: it deploys images in the local cloud and shows the outcome of each."""
