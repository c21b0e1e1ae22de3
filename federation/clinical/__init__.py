"""Medicine, without the protocol: FHIR R4 records checked, an ECG converted and drawn, a diagnosis written.

A leaf beside the protocol: it imports nothing else of this project, does no I/O and holds no key. Bytes in, bytes out.
"""
