"""The signal `member_graph`: one line a version."""

from embedding_views import embedding_view

member_graph_v1 = embedding_view("member_graph_v1")
