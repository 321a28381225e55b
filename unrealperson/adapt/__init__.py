"""Adaptation to a site without labels: JVTC, JVTC+ and cluster contrast."""

from unrealperson.adapt.training import adapt, format_summary

__all__ = ["adapt", "format_summary"]
