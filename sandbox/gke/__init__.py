"""GKE as a workload sees it: controllers, scheduler, autoscaler, nodes and the log router."""
