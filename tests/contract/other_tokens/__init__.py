"""Tokens other than SoftHSM that the contract suite runs on; `ci/install-tokens` installs them."""
