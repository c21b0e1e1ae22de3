"""The paper, sans-IO: messages, a clock reading and fresh randomness in; the next state, a message or a typed error out."""
