"""The signal `job_graph`: one line a version."""

from embedding_views import embedding_view

job_graph_v1 = embedding_view("job_graph_v1")
