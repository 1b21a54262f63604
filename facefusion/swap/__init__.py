"""Engines that put a source face into a target, and what they share."""
