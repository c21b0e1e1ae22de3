"""What nothing can be cheaper than: a bare gRPC call over TLS, raw SQL, raw PKCS#11, and cryptography's own calls."""
