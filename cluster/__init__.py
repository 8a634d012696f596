"""Composes a run: configuration, command line, Ray topology, supervision, reports. Only this package imports ray."""
