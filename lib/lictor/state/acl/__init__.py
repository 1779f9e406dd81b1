"""Access control records before they are proposed: what an API request's fields become, and what is refused.

Pure functions over a read transaction; the state machine checks again whatever may have changed in between
(`machine/acl.py`).
"""
