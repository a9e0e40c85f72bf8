"""Executors: Jobs in, Outcomes out, as they come."""
