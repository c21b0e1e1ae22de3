"""Reference clients of other languages against the Python servers."""
