"""The signal `member_text`: one line a version."""

from embedding_views import embedding_view

member_text_v1 = embedding_view("member_text_v1")
