"""DirectoryService: EK_C, the revocation list, the CRLs and the trust bundles, to anyone."""

from collections.abc import AsyncIterator

from federation.cloud.cloud import Cloud
from federation.cloud.directory_feed import News
from federation.protocol.parsing import check
from federation.v1.directory_pb2 import (
    GetDirectoryRequest,
    GetDirectoryResponse,
    GetTrustBundlesRequest,
    GetTrustBundlesResponse,
    WatchDirectoryRequest,
    WatchDirectoryResponse,
)
from federation.v1.directory_pb2_grpc import DirectoryServiceServicer
from federation.wire.roles import ServicerContext
from federation.wire.workers import Workers


class DirectoryServicer(DirectoryServiceServicer):
    """The wire's side. The directory is made already: no thread, no token, no database; bundles of old are in the store."""

    def __init__(self, cloud: Cloud, news: News, workers: Workers) -> None:
        """Hand out this cloud's directory."""
        self._cloud = cloud
        self._news = news
        self._workers = workers

    async def GetDirectory(  # noqa: N802 - the name in the proto
        self,
        request: GetDirectoryRequest,  # noqa: ARG002 - empty
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> GetDirectoryResponse:
        """Give the directory as it stands."""
        return self._cloud.bulletin.current.directory

    async def GetTrustBundles(  # noqa: N802
        self,
        request: GetTrustBundlesRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> GetTrustBundlesResponse:
        """Give the trust bundles that followed a number."""
        check(request)
        bundles = await self._workers.run(self._cloud.trust.after, request.after_sequence)
        return GetTrustBundlesResponse(trust_bundles=bundles)

    async def WatchDirectory(  # noqa: N802
        self,
        request: WatchDirectoryRequest,  # noqa: ARG002 - empty
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> AsyncIterator[WatchDirectoryResponse]:
        """Give the directory at once, and again at each change."""
        issue = await self._news.after(0)
        while issue is not None:
            yield WatchDirectoryResponse(directory=issue.directory)
            issue = await self._news.after(issue.sequence)
