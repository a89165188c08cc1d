"""Adapters to what we call: the only users of vendor SDKs, whose errors they translate to ours."""
