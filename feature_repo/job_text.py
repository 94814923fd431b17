"""The signal `job_text`: one line a version."""

from embedding_views import embedding_view

job_text_v1 = embedding_view("job_text_v1")
