"""Adapters to the services that we call; they alone use vendor SDKs, and translate their errors."""
