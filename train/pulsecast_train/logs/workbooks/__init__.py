"""A sheet of an .xlsx workbook is read in a child process with limits, and goes on as the text of a table."""
