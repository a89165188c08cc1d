"""An embedded Pub/Sub: gRPC calls, push delivery, back-off and dead letters."""
