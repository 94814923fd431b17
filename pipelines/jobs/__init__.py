"""Jobs on a schedule: what is due when, who does it, and what can be seen of it."""
