"""Checks of an HTTP proxy from RFC 9110, 9112 and 9113; README.md explains."""
