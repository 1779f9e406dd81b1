"""Filter expressions (`?filter=`): compile once, ask of every element of an answer.

keep = compile_filter('Service.Meta.ver == 2 and "b" in Service.Tags', fields.HEALTH_SERVICE)
kept = [element for element in elements if keep(element)]        # elements: JSON objects as dictionaries
"""

from lictor.filter.compile import FAILED, FilterError, FilterSyntaxError, compile_filter

__all__ = ["FAILED", "FilterError", "FilterSyntaxError", "compile_filter"]
