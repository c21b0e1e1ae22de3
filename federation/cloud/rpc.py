"""The services of the public cloud over gRPC: each method has its work done in a worker thread, where it blocks."""

from collections.abc import AsyncIterator
from datetime import timedelta

from federation.cloud.directory import DirectoryFeed, Held
from federation.cloud.index_rows import publish
from federation.cloud.membership import certify_tls_identity, issue_ticket, put_encryption_key
from federation.cloud.registration import open_registration, register
from federation.cloud.restriction import fetch_restrictions, restrict
from federation.cloud.revocation import revoke
from federation.cloud.search import search
from federation.cloud.services import Cloud
from federation.protocol.parsing import check
from federation.v1.directory_pb2 import (
    GetAllRevocationShardsRequest,
    GetAllRevocationShardsResponse,
    GetDirectoryRequest,
    GetDirectoryResponse,
    GetRevocationShardsRequest,
    GetRevocationShardsResponse,
    GetTrustBundlesRequest,
    GetTrustBundlesResponse,
    WatchDirectoryRequest,
    WatchDirectoryResponse,
)
from federation.v1.directory_pb2_grpc import DirectoryServiceServicer
from federation.v1.membership_pb2 import (
    CertifyTlsIdentityRequest,
    CertifyTlsIdentityResponse,
    IssueTicketRequest,
    IssueTicketResponse,
    PutEncryptionKeyRequest,
    PutEncryptionKeyResponse,
)
from federation.v1.membership_pb2_grpc import MembershipServiceServicer
from federation.v1.publication_pb2 import (
    PublishRequest,
    PublishResponse,
)
from federation.v1.publication_pb2_grpc import PublicationServiceServicer
from federation.v1.registration_pb2 import (
    OpenRegistrationRequest,
    OpenRegistrationResponse,
    RegisterRequest,
    RegisterResponse,
)
from federation.v1.registration_pb2_grpc import RegistrationServiceServicer
from federation.v1.restrictions_pb2 import (
    FetchRestrictionsRequest,
    FetchRestrictionsResponse,
    RestrictRequest,
    RestrictResponse,
)
from federation.v1.restrictions_pb2_grpc import RestrictionServiceServicer
from federation.v1.revocation_pb2 import RevokeRequest, RevokeResponse
from federation.v1.revocation_pb2_grpc import RevocationServiceServicer
from federation.v1.search_pb2 import SearchRequest, SearchResponse
from federation.v1.search_pb2_grpc import SearchServiceServicer
from federation.wire.limits import RateBound
from federation.wire.roles import ServicerContext, calling_hospital
from federation.wire.workers import Workers

REVOCATIONS_AT_ONCE, REVOCATION_EVERY = 32, timedelta(minutes=10)
"""Statements that one party may take back: so many at once, then one each time; the list is for everybody."""

RESTRICTIONS_AT_ONCE, RESTRICTION_EVERY = 64, timedelta(seconds=2)
"""Restrictions that one patient may state, or ask for: so many at once, then one each time."""


class _Servicer:
    def __init__(self, cloud: Cloud, workers: Workers) -> None:
        """Serve this cloud, in these threads."""
        self._cloud = cloud
        self._workers = workers


class DirectoryServicer(_Servicer, DirectoryServiceServicer):
    """EK_C, the lists and the bundles, to anyone. The directory is made already: no thread, no token, no database."""

    def __init__(self, cloud: Cloud, feed: DirectoryFeed, workers: Workers) -> None:
        """Hand out this cloud's directory."""
        super().__init__(cloud, workers)
        self._feed = feed

    async def GetDirectory(  # noqa: N802 - the name in the proto
        self,
        request: GetDirectoryRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> GetDirectoryResponse:
        """Return the directory as it stands, without the CRLs that the asker has."""
        check(request)
        return self._cloud.publisher.current.beside(request.held_crls)

    async def GetRevocationShards(  # noqa: N802
        self,
        request: GetRevocationShardsRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> GetRevocationShardsResponse:
        """Return the shards that are asked for, with their paths and the CRLs that the asker does not have."""
        check(request)
        return self._cloud.publisher.current.answer(request)

    async def GetAllRevocationShards(  # noqa: N802
        self,
        request: GetAllRevocationShardsRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> AsyncIterator[GetAllRevocationShardsResponse]:
        """Yield all shards of one moment, and the CRLs that the asker does not have."""
        check(request)
        for excerpt in self._cloud.publisher.current.all_shards(request.held_crls):
            yield GetAllRevocationShardsResponse(revocations=excerpt)

    async def GetTrustBundles(  # noqa: N802
        self,
        request: GetTrustBundlesRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> GetTrustBundlesResponse:
        """Return the trust bundles that followed a number."""
        check(request)
        bundles = await self._workers.run(self._cloud.trust.after, request.after_sequence)
        return GetTrustBundlesResponse(trust_bundles=bundles)

    async def WatchDirectory(  # noqa: N802
        self,
        request: WatchDirectoryRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> AsyncIterator[WatchDirectoryResponse]:
        """Yield what the follower does not have at once, and what has changed at each change."""
        check(request)
        held = Held(frozenset(request.held_crls), request.revision)
        version = await self._feed.after(0)
        while version is not None:
            changes, held = version.changes(held)
            yield changes
            version = await self._feed.after(version.sequence)


class RegistrationServicer(_Servicer, RegistrationServiceServicer):
    """reg1 and reg2."""

    async def OpenRegistration(  # noqa: N802 - the name in the proto
        self,
        request: OpenRegistrationRequest,  # noqa: ARG002 - empty
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> OpenRegistrationResponse:
        """Return a challenge and EK_C."""
        return await self._workers.run(open_registration, self._cloud)

    async def Register(self, request: RegisterRequest, context: ServicerContext) -> RegisterResponse:  # noqa: N802, ARG002
        """Take reg1 and answer reg2."""
        return RegisterResponse(reply=await self._workers.run(register, self._cloud, request))


class SearchServicer(_Servicer, SearchServiceServicer):
    """D2 and C."""

    async def Search(self, request: SearchRequest, context: ServicerContext) -> SearchResponse:  # noqa: N802, ARG002 - the name in the proto
        """Take D2 and answer C."""
        return SearchResponse(reply=await self._workers.run(search, self._cloud, request))


class MembershipServicer(_Servicer, MembershipServiceServicer):
    """The next encryption key, a hospital's TLS identity, tickets for patients."""

    async def PutEncryptionKey(  # noqa: N802 - the name in the proto
        self,
        request: PutEncryptionKeyRequest,
        context: ServicerContext,  # noqa: ARG002 - proved inside
    ) -> PutEncryptionKeyResponse:
        """Take the next encryption key of a party."""
        return await self._workers.run(put_encryption_key, self._cloud, request)

    async def CertifyTlsIdentity(  # noqa: N802
        self,
        request: CertifyTlsIdentityRequest,
        context: ServicerContext,  # noqa: ARG002 - proved inside
    ) -> CertifyTlsIdentityResponse:
        """Certify a hospital's TLS identity CA."""
        return await self._workers.run(certify_tls_identity, self._cloud, request)

    async def IssueTicket(  # noqa: N802
        self, request: IssueTicketRequest, context: ServicerContext
    ) -> IssueTicketResponse:
        """Issue a ticket for a patient to a hospital."""
        return await self._workers.run(issue_ticket, self._cloud, request, calling_hospital(context))


class PublicationServicer(_Servicer, PublicationServiceServicer):
    """PUB and PUBACK."""

    async def Publish(self, request: PublishRequest, context: ServicerContext) -> PublishResponse:  # noqa: N802 - the name in the proto
        """Take PUB and answer PUBACK."""
        return await self._workers.run(publish, self._cloud, request, calling_hospital(context))


class RevocationServicer(_Servicer, RevocationServiceServicer):
    """A party takes back what it stated, or a deputy what a patient did."""

    def __init__(self, cloud: Cloud, workers: Workers, feed: DirectoryFeed) -> None:
        """Revoke in this cloud's book, and tell those who follow the directory."""
        super().__init__(cloud, workers)
        self._feed = feed
        self._rate = RateBound(1 / REVOCATION_EVERY.total_seconds(), REVOCATIONS_AT_ONCE)

    async def Revoke(  # noqa: N802 - the name in the proto
        self,
        request: RevokeRequest,
        context: ServicerContext,  # noqa: ARG002 - proved inside
    ) -> RevokeResponse:
        """Take rev and answer a revocation list."""
        response = await self._workers.run(revoke, self._cloud, request, self._rate)
        await self._feed.announce()
        return response


class RestrictionServicer(_Servicer, RestrictionServiceServicer):
    """What patients hide: from them, and on to the hospitals."""

    def __init__(self, cloud: Cloud, workers: Workers) -> None:
        """Keep what patients of this cloud hide."""
        super().__init__(cloud, workers)
        self._rate = RateBound(1 / RESTRICTION_EVERY.total_seconds(), RESTRICTIONS_AT_ONCE)

    async def Restrict(  # noqa: N802 - the name in the proto
        self,
        request: RestrictRequest,
        context: ServicerContext,  # noqa: ARG002 - proved inside
    ) -> RestrictResponse:
        """Take rst and answer rstack."""
        return await self._workers.run(restrict, self._cloud, request, self._rate)

    async def FetchRestrictions(  # noqa: N802
        self, request: FetchRestrictionsRequest, context: ServicerContext
    ) -> FetchRestrictionsResponse:
        """Take rstget and answer rstdue."""
        return await self._workers.run(fetch_restrictions, self._cloud, request, calling_hospital(context))
