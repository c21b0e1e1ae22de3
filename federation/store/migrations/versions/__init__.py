"""One file per step, named rNNNN; a step that was released is never edited.

`compatible_from` is the oldest revision whose code works beside a step: an earlier one if the step only adds tables, indexes and
columns that may be left out, and nothing goes wrong where older code does not heed them; its own if it takes away, renames,
tightens, or means something that older code must not overlook. docs/adr/0006 says when a release may do which.
"""
