"""The terms of a test's grants: production allows nothing that nobody asked for."""

from federation.protocol.consent import Terms
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE
from keystore.identities import ANY

WIDE = Terms(hospitals=(ANY,), department_classes=(ANY,), rights=(RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE))
"""All that a patient can ask for, at every hospital and in every class, for a day."""
