"""The composition root: the one place that builds real objects, a module for each kind of node."""
