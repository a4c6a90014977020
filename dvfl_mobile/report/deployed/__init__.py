"""A deploy as files for people: one page, a model card, and data for a viewer of graphs."""
