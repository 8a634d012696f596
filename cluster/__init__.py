"""Composes a run: configuration, command line, Ray topology, supervision, reports. The only package that imports ray."""
