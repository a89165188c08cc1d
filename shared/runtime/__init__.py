"""The boundary with the Functions Framework: settle a delivery, and write its one log line."""
