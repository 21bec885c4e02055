"""What the operator sees of a running server: logs and figures, never health data nor identities."""
