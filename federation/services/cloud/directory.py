"""DirectoryService: EK_C, the revocation list and the CRLs, to anyone."""

from collections.abc import AsyncIterator

from federation.services.cloud.cloud import Cloud
from federation.services.cloud.news import News
from federation.v1.directory_pb2 import (
    GetDirectoryRequest,
    GetDirectoryResponse,
    WatchDirectoryRequest,
    WatchDirectoryResponse,
)
from federation.v1.directory_pb2_grpc import DirectoryServiceServicer
from federation.wire.roles import ServicerContext


class DirectoryServicer(DirectoryServiceServicer):
    """The wire's side. Everything it hands out is made already: no thread, no token, no database."""

    def __init__(self, cloud: Cloud, news: News) -> None:
        """Hand out this cloud's directory."""
        self._cloud = cloud
        self._news = news

    async def GetDirectory(  # noqa: N802 - the name in the proto
        self,
        request: GetDirectoryRequest,  # noqa: ARG002 - empty
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> GetDirectoryResponse:
        """Give the directory as it stands."""
        return self._cloud.bulletin.current.directory

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
