"""What is between the protocol and the network: errors and google.rpc.Status, who may call what, channels and servers."""
