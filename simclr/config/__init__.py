"""The configuration: its schema, and the keys of which it is made."""
