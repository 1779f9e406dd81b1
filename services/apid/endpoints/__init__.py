"""The endpoints, one file per area; `table.py` gathers their routes."""
