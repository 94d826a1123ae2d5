"""The comment service on gRPC: messages in, use cases, messages out; it decides nothing."""

from api.comment.v1 import comment_pb2 as pb
from api.comment.v1 import comment_pb2_grpc as pb_grpc
from services.comment.data import CommentRecord
from services.comment.usecases import Comments


class CommentServicer(pb_grpc.CommentServiceServicer):
    """Translate between ``comment.v1`` and the use cases."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments

    async def ListComments(
        self, request: pb.ListCommentsRequest, context: object
    ) -> pb.ListCommentsResponse:
        """Return one page, newest first."""
        page = await self._comments.page(request.video_id, request.cursor, request.limit)
        return pb.ListCommentsResponse(
            comments=map(_comment, page.comments), next_cursor=page.next_cursor, total=page.total
        )

    async def AddComment(self, request: pb.AddCommentRequest, context: object) -> pb.Comment:
        """Keep a comment."""
        return _comment(await self._comments.add(request.video_id, request.author_id, request.text))


def _comment(comment: CommentRecord) -> pb.Comment:
    return pb.Comment(
        id=comment.id,
        video_id=comment.video_id,
        author_id=comment.body.author_id,
        text=comment.body.text,
        created_unix_s=comment.body.created_unix_s,
    )
