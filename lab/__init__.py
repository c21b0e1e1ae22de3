"""The lab: a federation as hosts in network namespaces on one machine, and what befalls it there. `ci/lab` runs it."""
