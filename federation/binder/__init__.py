"""The binder of a ceremony on paper: one document as a page of HTML or as PDF, out of what `keystore.ceremony.binder` gathers."""
