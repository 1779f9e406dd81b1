"""HCL 1 as a syntax tree with places and comments, read from HCL or JSON text and printed again.

`lictor.config.hcl` reads configuration into plain values; this is for texts whose errors name the place in a
structure, or which are printed again with their comments: access rules.
"""

from lictor.hcl.read import parse
from lictor.hcl.tokens import HclError

__all__ = ["HclError", "parse"]
