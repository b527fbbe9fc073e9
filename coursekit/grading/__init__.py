"""Grading: what instructors run. Nothing here is imported by what students see."""
