"""Which pairs to ask about, who answers, and how many answers are wanted by now."""
