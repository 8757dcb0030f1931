"""Processes and what they share: services, heartbeat, leases, backpressure."""
