"""The demonstration: a public cloud and two hospitals as processes, and two visits through them. `ci/demo` runs it."""
