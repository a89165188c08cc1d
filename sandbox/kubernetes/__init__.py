"""The embedded Kubernetes API server, which reproduces recorded answers of a real one."""
