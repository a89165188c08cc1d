"""An embedded Pub/Sub: the gRPC API of the real service, with push, back-off and dead letters."""
