"""A server seen from outside: metrics for Prometheus, spans for OpenTelemetry, the admin server (docs/adr/0019)."""
