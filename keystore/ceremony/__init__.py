"""Key ceremonies: one reviewed file says everything, a script leads people through it, a signed transcript proves it."""
