"""The daily and weekly cycle of a series: how strong, how sure, and in words."""
