"""The border: errors and google.rpc.Status, who may call what, channels and servers."""
