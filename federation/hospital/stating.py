"""What a hospital states of itself, and what it shows of the revocation list to who deals with it. Blocking, no gRPC."""

from federation.hospital.services import Hospital
from federation.protocol.authorities import crls_beside
from federation.protocol.parsing import check
from federation.protocol.revocation import entries_of_keys
from federation.protocol.revocations import require_prefixes
from federation.v1.record_pb2 import GetHospitalResponse, GetHospitalShardsRequest, GetHospitalShardsResponse


def stated(hospital: Hospital) -> GetHospitalResponse:
    """Return KS_HPC and EK_HPC, and show that they stand. Raises NotRegistered, RevocationShardMissing."""
    party, lists = hospital.member.party(hospital.clock()), hospital.member.verifier().lists
    key_statement, encryption_key = party.self_.key_statement, party.encryption_key_statement
    answer = GetHospitalResponse(key_statement=key_statement, encryption_key_statement=encryption_key)
    if lists.signed is not None:
        answer.revocations.CopyFrom(lists.excerpt(entries_of_keys(key_statement, encryption_key)))
    return answer


def get_shards(hospital: Hospital, request: GetHospitalShardsRequest) -> GetHospitalShardsResponse:
    """Return shards of the revocation list to whoever asks, and the CRLs that it does not have: all of it is public.

    Raises FieldInvalid, StaleRevocationList, RevocationShardMissing.
    """
    check(request)  # GetHospitalShards.1
    prefixes = require_prefixes(request.prefixes)  # GetHospitalShards.2
    lists = hospital.member.verifier().lists
    excerpt = lists.shards(prefixes)  # GetHospitalShards.3
    excerpt.certificate_revocation_lists.extend(crls_beside(lists.counted, request.held_crls))
    return GetHospitalShardsResponse(revocations=excerpt)
