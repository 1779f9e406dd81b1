"""The leader's duties, one per file: decisions are plain functions and objects; `duties.py` runs them."""
